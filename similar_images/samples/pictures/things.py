"""Plants, food, household things and sights."""

import numpy as np

from similar_images.samples.pictures.canvas import BLACK, WHITE, Picture, both, limb, outline, oval, ring, tone


class Things(Picture):
    def sunflower(self) -> None:
        flower, yellow = self.place("sky", "sky", "leaves", y=105, tilt=25), self.colour(46, 0.9, 0.97, 0.5)
        flower.fill(self.colour(105, 0.6, 0.4), limb("0,0 4,80 0,190", 8), *both(outline("2,105 30,80 66,88 40,108")))
        for start, dark in ((0.5, -0.25), (0, 0)):
            for petal in ring(18, outline("0,-20 12,-46 0,-84 -12,-46"), start=start + self.between(-0.1, 0.1)):
                flower.fill(tone(yellow, dark), petal, bulge=0.7)
        flower.fill(self.colour(25, 0.65, 0.3), oval(32), rough=0.3, patch=(3, 3))
        flower.mark((170, 110, 40), *(dot for r in (12, 18, 24, 30) for dot in ring(r, oval(1.3, at=r))), opacity=0.8)

    def water_lily(self) -> None:
        flower, pink = self.place("pond", y=140, high=1.5), self.colour(self.pick((330, 320, 50)), 0.25, 0.95)
        pad = outline("-60,0 -30,-24 40,-22 62,2 40,18 6,2 0,24 -40,20", 2)
        for at in (-110 - 60j, 60 - 70j, -90 + 20j, 110, 50j, -150 + 60j, 130 + 70j):
            flower.fill(self.colour(110, 0.5, 0.4), at + pad)
        for size, lift, start in ((1, 0, 0), (0.85, -6, 0.5), (0.65, -12, 0), (0.45, -16, 0.5)):
            petals = ring(11, size * outline("0,-10 16,-44 0,-86 -16,-44"), start=start)
            for petal in sorted(petals, key=lambda petal: petal.imag.mean()):
                flower.fill(tone(pink, 0.6 * (1 - size)), petal.real + 1j * (0.55 * petal.imag + lift), bulge=1.3)
        flower.fill((240, 190, 50), *(oval(1.6, 5, z - 16j) for z in flower.inside(oval(14, 6), 30)), bulge=0.5)

    def strawberry(self) -> None:
        fruit, red = self.place("white", "wall table", "wall table", y=125, tilt=30), self.colour(355, 0.9, 0.8, 0.6)
        fruit.soft(56, 60, 8 + 14j)
        fruit.fill(red, outline("0,-56 40,-58 64,-26 44,30 0,84 -44,30 -64,-26 -40,-58"), bulge=1.4, rough=0.05)
        seeds = [complex(x + y % 32 / 2, y) for x in range(-48, 49, 16) for y in range(-44, 70, 16)]
        seeds = [z for z in seeds if abs(z.real) < 58 - 0.6 * abs(z.imag + 26)]
        for colour, size in ((tone(red, -0.35), 3.4), ((235, 200, 100), 2)):
            fruit.fill(colour, *(oval(size, 1.4 * size, z) for z in seeds))
        leaves = (leaf - 52j for leaf in ring(9, outline("-9,0 -12,-22 0,-46 12,-22 9,0")))
        fruit.fill(self.colour(105, 0.6, 0.5), *leaves, limb("0,-50 8,-80", 6, 4))

    def apple(self) -> None:
        fruit, skin = self.place("wall table", y=140), self.colour(self.pick((0, 4, 8, 75, 85)), 0.8, 0.75)
        fruit.soft(62, 13, 8 + 50j)
        fruit.fill(skin, outline("0,-34 34,-50 60,-20 48,30 24,56 0,48 -24,56 -48,30 -60,-20 -34,-50"), patch=(4, 40))
        fruit.mark(tone(skin, -0.5), oval(14, 4, -33j), blur=1.5)
        fruit.fill((90, 60, 30), limb("0,-33 3,-50 9,-62", 4, 5))
        fruit.fill(self.colour(110, 0.65, 0.5), outline("6,-48 22,-68 48,-68 34,-50 18,-45"))
        fruit.soft(7, 7, -24 - 20j, WHITE)

    def pizza(self) -> None:
        pie = self.place("boards", tilt=180)
        pie.soft(98, 96, 4 + 6j)
        for colour, radius in ((WHITE, 96), (self.colour(30, 0.6, 0.7), 88), (self.colour(8, 0.8, 0.65), 75)):
            pie.fill(colour, oval(radius), bulge=0.5, rough=0.1)
        pie.fill(self.colour(42, 0.6, 0.93, 0.5), oval(73), bulge=0.5, rough=0.16, patch=(14, 14))
        for slice_ in ring(5, oval(11, at=self.between(20, 40))) + ring(9, oval(11, at=self.between(54, 62))):
            pie.fill(self.colour(6, 0.75, 0.65, 0.5), slice_, rough=0.15, patch=(3, 3))
        pie.fill(self.colour(110, 0.7, 0.35), *(oval(8, 4, z, 90 * z.real) for z in pie.inside(oval(68), 14)))
        pie.mark(BLACK, *(oval(4, at=z) for z in pie.inside(oval(64), 9)))

    def football(self) -> None:
        ball = self.place("sky lawn", y=135, tilt=180)
        ball.soft(66, 66, 6 + 6j)
        ball.fill(WHITE, oval(62), bulge=1.2, rough=0.02)
        seams = limb("0,-20 0,-40", 2, 2), limb("0,-40 24,-34", 2, 2), limb("0,-40 -24,-34", 2, 2)
        ball.mark(BLACK, *ring(5, *seams))
        middle, edge = outline("0,-22 21,-7 13,18 -13,18 -21,-7", 0), outline("0,-38 15,-47 12,-60 -12,-60 -15,-47", 0)
        ball.fill((30, 30, 34), middle, *ring(5, edge), bulge=0.5)

    def cup_of_coffee(self) -> None:
        cup, glaze = self.place("wall table", y=135, tilt=2), self.colour(self.pick((40, 200, 5)), 0.25, 0.85, 3)
        cup.soft(90, 16, 6 + 54j)
        cup.fill(glaze, oval(82, 16, 50j))
        cup.mark(tone(glaze, -0.25), oval(50, 9, 47j), blur=3)
        cup.fill(tone(glaze, -0.1), limb("46,-18 78,-26 76,20 38,24", 9, 8, 9))
        cup.fill(glaze, outline("-56,-34 -50,14 -30,52 30,52 50,14 56,-34 0,-30"), rough=0.02, bulge=1.3)
        cup.fill(tone(glaze, 0.4), oval(53, 14, -30j), bulge=0.3)
        cup.mark((50, 28, 16), oval(46, 10.5, -28j))
        for x in (-18, 2, 22):
            cup.mark(WHITE, limb(f"{x},-44 {x + 9},-60 {x - 7},-78 {x + 4},-98", 5, 8, 3), blur=3, opacity=0.5)

    def umbrella(self) -> None:
        shade, hue = self.place("rain street", y=115, tilt=18), self.between(0, 360)
        one, other = self.colour(hue, 0.8, 0.75), self.colour(hue + self.pick((0, 30, 180)), 0.75, 0.6)
        shade.fill((80, 60, 45), limb("0,-66 0,0 0,76", 3, 3), limb("0,72 -2,90 -18,88 -17,78", 5, 5))
        for wide, colour in ((86, one), (63, other), (40, one), (17, other)):
            dome = f"{-wide},4 {-0.9 * wide},-32 {-0.5 * wide},-60 0,-64 {0.5 * wide},-60 {0.9 * wide},-32 {wide},4"
            shade.fill(colour, outline(f"{dome} {wide * 0.6},-4 0,2 {-wide * 0.6},-4"), bulge=0.8, rough=0.03)

    def watch(self) -> None:
        watch, metal = self.place("white", "boards", tilt=40), self.colour(self.pick((45, 210)), 0.3, 0.75)
        strap = self.pick(((60, 38, 26), (35, 35, 40), tone(metal, 0.1)))
        watch.soft(60, 58, 6 + 8j)
        watch.fill(strap, limb("0,-150 0,0 0,150", 44, 60, 44), rough=0.1)
        watch.mark(tone(strap, -0.3), *(limb(f"-24,{y} 24,{y}", 2, 2) for y in range(-150, 150, 12)))
        watch.fill(metal, oval(58), oval(8, 6, 60), bulge=1.6)
        watch.fill(self.pick(((30, 32, 40), WHITE, WHITE, WHITE)), oval(48), bulge=0.4, rough=0)
        ticks = ring(12, limb("0,-43 0,-37", 3, 3))
        hands = (limb(f"0,8 0,{-end}", 4, 2) * np.exp(1j * self.between(0, 6)) for end in (26, 38))
        watch.mark((120, 100, 60), *ticks, *hands, oval(4))

    def stop_sign(self) -> None:
        sign = self.place("sky", "wood meadow", y=105)
        sign.mirror = False
        sign.fill((130, 130, 130), limb("0,60 0,190", 9, 9))
        corners = outline("-1,-2.414 1,-2.414 2.414,-1 2.414,1 1,2.414 -1,2.414 -2.414,1 -2.414,-1", 0)
        sign.fill(WHITE, 31 * corners, bulge=0.2, rough=0.03)
        sign.fill(self.colour(357, 0.85, 0.75, 0.6), 28.5 * corners, bulge=0.2, rough=0.05)
        letters = ("-38,-14 -46,-20 -56,-12 -40,4 -48,18 -58,12", "-34,-17 -12,-17", "-23,-17 -23,18", "22,-19 22,18")
        sign.mark(WHITE, *(limb(letter, 6, 6) for letter in (*letters, "22,-17 46,-18 44,3 22,2")))
        sign.mark(WHITE, *(limb(f"4,-17 {x},-17 {x},17 4,17", 6, 6) for x in (-9, 17)))

    def sailing_boat(self) -> None:
        boat, sail = self.place("sky bay", "dusk bay", y=150, tilt=5), self.colour(40, 0.1, 0.93)
        boat.soft(60, 6, 18j)
        boat.fill(sail, outline("4,-112 4,-2 58,-6 30,-54", 1), rough=0.03)
        boat.fill(tone(sail, -0.1), outline("-4,-102 -4,-4 -46,-4 -18,-54", 1), rough=0.03)
        boat.mark((70, 50, 40), limb("0,-116 0,4", 2.2, 2.2), limb("0,-3 58,-4", 2, 2))
        boat.fill(self.colour(self.pick((5, 30, 210)), 0.5, 0.4), outline("-56,-2 0,2 60,-2 42,18 -40,18", 1))

    def aeroplane(self) -> None:
        plane, paint = self.place("sky", "sky lawn", "wood lawn"), self.colour(self.pick((0, 215, 45)), 0.8, 0.7)
        plane.mark(BLACK, *(part + x for x in (-76, 14, 34) for part in (limb("0,10 0,34", 3), oval(7, at=35j))))
        hull = outline("-122,4 -108,-10 -80,-16 60,-16 132,-14 80,12 0,17 -90,16")
        plane.fill(self.pick((WHITE, WHITE, paint)), hull, outline("88,-8 122,-20 136,-20 116,-2", 1), rough=0.02)
        plane.fill(paint, outline("80,-13 112,-54 130,-54 126,-12", 1), limb("-112,8 0,10 90,4", 4, 3), rough=0.02)
        plane.mark(BLACK, outline("-114,-4 -100,-11 -96,-4", 1), *(oval(2, 2.4, x - 4j) for x in range(-84, 90, 9)))
        plane.fill((150, 155, 165), outline("-24,6 36,26 62,28 34,4", 1), limb("-22,19 8,20", 15), rough=0.02)

    def pyramid(self) -> None:
        place = self.place("sky desert", y=175, high=1.2, tilt=0, spread=60)
        for x, size in ((self.between(-170, -120), 0.5), (self.between(110, 160), 0.6), (0, 1)):
            stone = self.colour(36, 0.4, 0.75, 0.5)
            place.fill(stone, x + size * outline("0,-110 -130,10 40,18", 0), bulge=0.2, rough=0.12, patch=(14, 3))
            place.fill(tone(stone, -0.4), x + size * outline("0,-110 40,18 120,6", 0), rough=0.12, patch=(14, 3))

    def lighthouse(self) -> None:
        tower, paint = self.place("sky bay", y=110, high=1.1, tilt=2), self.colour(self.pick((2, 215)), 0.8, 0.7)
        rock = outline("-110,80 -60,48 -20,40 40,44 80,56 120,84")
        tower.fill(self.colour(30, 0.2, 0.4), rock, rough=0.25, patch=(12, 8))
        tower.fill(WHITE, outline("-14,-56 14,-56 24,50 -24,50", 0), rough=0.03)
        for y, wide in ((-56, 14), (-14, 18), (28, 22)):
            tower.fill(paint, outline(f"{-wide},{y} {wide},{y} {wide + 2},{y + 21} {-wide - 2},{y + 21}", 0))
        tower.fill((250, 235, 160), outline("-9,-78 9,-78 9,-58 -9,-58", 0))
        tower.fill((50, 50, 56), outline("-19,-61 19,-61 19,-55 -19,-55", 0), outline("-13,-77 13,-77 0,-96", 1))

    def hot_air_balloon(self) -> None:
        balloon, hue = self.place("sky", "dusk", y=105, tilt=6), self.between(0, 360)
        one, other = self.colour(hue, 0.85, 0.85), self.colour(hue + self.pick((40, 120, 180)), 0.8, 0.95)
        for step, colour in enumerate((one, other) * 3):
            part = outline("-58,-34 -46,-78 0,-94 46,-78 58,-34 40,14 10,44 -10,44 -40,14")
            balloon.fill(colour, part.real * np.cos(step * np.pi / 12) + 1j * part.imag, bulge=0.5, rough=0.02)
        balloon.mark((70, 50, 40), limb("-8,42 -7,58", 1, 1), limb("8,42 7,58", 1, 1))
        balloon.fill((130, 90, 50), outline("-9,57 9,57 8,72 -8,72", 0), rough=0.2, patch=(3, 3))
