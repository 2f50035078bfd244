"""Animals."""

import numpy as np

from similar_images.samples.pictures.canvas import BLACK, WHITE, Picture, both, limb, outline, oval, ring, tone


class Animals(Picture):
    def butterfly(self) -> None:
        insect, dark = self.place("leaves", "leaves", "white", tilt=40), (32, 24, 22)
        orange = self.colour(self.pick((22, 28, 34, 42, 205)), 0.9, 0.9)
        hind = outline("4,0 36,2 62,14 66,36 50,60 28,58 12,30")
        fore = outline("4,-8 14,-40 46,-70 80,-68 86,-52 66,-14 34,4")
        for wing, middle, turns in ((hind, 36 + 26j, range(10, 80, 14)), (fore, 44 - 30j, range(-65, -5, 12))):
            insect.fill(dark, *both(wing))
            insect.fill(orange, *both(middle + (wing - middle) * 0.82), rough=0.12)
            insect.mark(dark, *both(*(oval(30, 0.9, 30 * np.exp(np.radians(turn) * 1j), turn) for turn in turns)))
            insect.mark(WHITE, *both(*(oval(1.8, at=middle + (z - middle) * 0.92) for z in wing[4:-16:4])))
        insect.fill(dark, limb("0,-38 0,0 0,44", 9, 11, 4), *both(limb("1,-38 8,-60 18,-72", 1.4, 1.2)))

    def starfish(self) -> None:
        star, skin = self.place("ground", "ground", "ground", "white", tilt=180), self.colour(15, 0.75, 0.8, 1.5)
        bend, arms = self.between(-0.5, 0.5), ring(5, limb("0,6 0,-40 0,-90", 46, 30, 9))
        arms = [arm * np.exp(1j * bend * self.between(0.3, 1) * np.abs(arm / 90) ** 2) for arm in arms]
        star.mark(BLACK, *(arm + 4 + 7j for arm in arms), blur=4, opacity=0.5)
        star.fill(skin, *arms, rough=0.15, patch=(4, 4))
        dots = [z for arm in arms for z in (*star.inside(0.9 * arm, 9), *arm[2:22:3] * 0.86)]
        star.mark(tone(skin, 0.6), *(oval(1.7, at=z) for z in dots))

    def flamingo(self) -> None:
        bird, pink = self.place("sky sea", "sky sea", "wood meadow", y=105), self.colour(2, 0.5, 0.95, 1.2)
        leg = limb(self.pick(("10,24 16,60 20,110", "10,24 -14,46 16,64")), 5, 3.5, 3)
        bird.fill(tone(pink, -0.2), leg, limb("-2,24 2,62 -1,111 -14,113", 5, 3.5, 3.5, 2))
        bird.fill(pink, outline("-34,-6 -20,-24 8,-26 34,-8 64,16 40,18 22,28 -8,30 -28,16"), patch=(20, 5))
        bird.fill(tone(pink, -0.1), outline("-8,-14 16,-16 44,6 60,17 24,16 0,8"), rough=0.15, patch=(20, 4))
        neck = self.pick(("-44,-8 -34,-32 -18,-50 -30,-80", "-50,0 -50,-26 -30,-46 -34,-76"))
        bird.fill(pink, limb(f"-26,6 {neck} -50,-70", 20, 13, 10, 9, 9, 11), oval(9, 7.5, -50 - 70j))
        bird.mark(tone(pink, 0.7), outline("-54,-76 -66,-70 -69,-60 -62,-62 -54,-65"))
        bird.mark(BLACK, outline("-63,-66 -69,-64 -69,-50 -62,-58"), oval(1.3, at=-52 - 72j))

    def panda(self) -> None:
        bear, black = self.place("leaves", "wood meadow", "white", y=125), (34, 32, 34)
        bear.soft(80, 14, 90j)
        bear.fill(WHITE, oval(60, 58, 42j))
        paws = limb("26,4 56,34 34,58", 34, 28), limb("40,78 72,84", 40, 36), oval(16, at=38 - 76j)
        bear.fill(black, *both(*paws), bulge=2, rough=0.2)
        bear.fill(WHITE, outline("0,-88 34,-80 52,-50 48,-22 24,-4 0,0 -24,-4 -48,-22 -52,-50 -34,-80"))
        bear.mark(black, *both(oval(12, 16, 21 - 46j, 35)), oval(8, 5, -26j), limb("-9,-10 0,-14 9,-10", 2, 2))
        bear.mark((150, 140, 140), *both(oval(2, at=20 - 48j)))
        bamboo = limb("-60,66 0,-8 30,-40", 4, 3), limb("4,-14 40,-22", 8, 1), limb("-6,0 20,22", 8, 1)
        bear.fill((90, 130, 50), *bamboo, opacity=self.pick((0, 1)))

    def leopard(self) -> None:
        cat, fur = self.place("wood savanna", y=125, tilt=4), self.colour(33, 0.5, 0.78, 0.6)
        cat.soft(80, 7, 62j)
        far = limb("-38,10 -30,34 -36,60", 20, 11, 9), limb("58,6 50,34 60,60", 20, 11, 9)
        cat.fill(tone(fur, -0.3), *far, limb("62,-14 84,6 92,40 106,34", 9, 7, 6, 5))
        body = outline("-66,-24 -40,-28 0,-22 40,-28 62,-18 66,4 50,18 10,14 -30,20 -58,14 -70,-6")
        thigh, neck, ear = limb("46,2 62,30 46,62", 28, 13, 11), limb("-56,-12 -74,-28", 34, 28), oval(5, at=-88 - 46j)
        cat.fill(fur, body, thigh, limb("-50,6 -54,34 -50,62", 28, 13, 11))
        cat.fill(fur, neck, oval(18, 17, -76 - 30j), ear, ear + 24)
        spots = [z for part, count in ((body, 110), (thigh, 18), (neck, 24)) for z in cat.inside(part, count)]
        cat.mark((45, 32, 24), *(oval(self.between(1.6, 2.8), 2.1, z) for z in spots))
        cat.mark(BLACK, oval(3, 2, -88 - 27j), oval(2, at=-82 - 35j), oval(1.8, at=-71 - 34j))

    def hedgehog(self) -> None:
        animal, brown = self.place("wood meadow", "ground", "ground", y=130, high=1.4), self.colour(28, 0.35, 0.36)
        animal.soft(76, 10, 40j - 4)
        animal.fill(tone(brown, 0.2), *(limb(f"{x},26 {x - 4},44 {x - 12},45", 13, 9, 7) for x in (-32, 36)))
        animal.fill(tone(brown, 0.5), outline("-36,-20 -62,4 -86,20 -70,30 -40,36 -20,20"), oval(9, at=-34 - 14j))
        for light in (-0.6, -0.6, 0, 0.4, 0.65):
            roots = animal.inside(outline("-44,-10 -30,-40 8,-56 50,-42 70,0 62,30 20,36 -30,32"), 200)
            spines = np.exp(1j * (np.angle(roots + 30 - 30j) + [self.between(-0.4, 0.4) for _ in roots]))
            triangles = np.stack([roots - 1.2j * spines, roots + 15 * spines, roots + 1.2j * spines], axis=1)
            animal.mark(tone(brown, light), *triangles)
        animal.mark(BLACK, oval(5, 4.5, -84 + 20j), oval(3.4, at=-58 + 6j), limb("-78,27 -64,26", 1.2, 1))

    def dolphin(self) -> None:
        animal, grey = self.place("sky sea", tilt=22), self.colour(212, 0.2, 0.45)
        back, fluke = "54,-12 -30,-26 4,-30 40,-18 68,8 86,34", outline("78,28 96,20 118,28 100,36 98,52 90,62 76,40")
        animal.fill(grey, outline("-2,-24 16,-52 30,-54 24,-36 32,-18"), fluke)
        animal.fill(grey, outline(f"-88,16 -82,10 -64,2 -{back} 80,40 52,26 20,18 -20,20 -50,20 -70,20"), rough=0.04)
        animal.mark((215, 218, 222), outline("-86,17 -60,14 -30,10 20,14 50,24 20,20 -20,22 -56,22"), blur=1.5)
        animal.fill(tone(grey, -0.3), outline("-30,10 -12,8 6,40 -4,40 -24,24"), limb("-84,15 -62,12", 1.2, 1))
        animal.mark(BLACK, oval(1.8, at=-54 + 3j))
        foam = animal.inside(outline("20,50 70,40 130,36 150,60 90,84 30,70"), 70)
        animal.mark(WHITE, *(oval(self.between(1, 5), 1.5, z) for z in foam), blur=1, opacity=0.7)

    def dragonfly(self) -> None:
        insect, skin = self.place("pond", "leaves", "leaves", tilt=40), self.colour(self.pick((100, 200, 5)), 0.6, 0.5)
        wings = limb("4,-26 40,-42 100,-46", 6, 20, 13), limb("4,-16 40,-8 94,4", 8, 26, 13)
        insect.fill(tone(skin, 0.8), *both(*wings), rough=0.1, opacity=0.55)
        veins = ((-28, -22, -24), (-26, -14, -20), (-18, 0, 14), (-16, 12, 22))
        insect.mark(BLACK, *both(*(limb(f"4,{y} 50,{y + a} 100,{y + b}", 1.2, 0.7) for y, a, b in veins)))
        insect.fill(skin, limb("0,-34 0,-6 0,0", 13, 14, 8), limb("0,-4 0,40 0,92", 6, 5, 6))
        insect.mark(BLACK, *(oval(3, 0.9, 1j * y) for y in range(4, 92, 10)), limb("0,-30 0,-8", 2, 1))
        insect.fill(tone(skin, -0.3), *both(oval(6, 6.5, 5 - 40j)))

    def ladybird(self) -> None:
        insect, leaf = self.place("leaves", tilt=50), self.colour(95, 0.6, 0.55)
        insect.fill(leaf, outline("-160,60 -60,-70 60,-90 190,10 60,90 -60,110"), rough=0.1, patch=(30, 30))
        insect.mark(tone(leaf, 0.25), limb("-150,50 10,15 170,0", 3, 2), limb("-20,20 60,-70 80,-100", 2, 1))
        insect.soft(56, 62, 8 + 12j)
        legs = (limb(f"40,{y} 62,{1.3 * y} 70,{1.7 * y}", 6, 4, 3) for y in (-28, 6, 34))
        insect.fill(BLACK, oval(36, 32, -42j), *both(limb("8,-68 18,-84", 2, 3), *legs), bulge=2)
        insect.mark(WHITE, *both(oval(9, 7, 22 - 50j, 30)))
        insect.fill(self.colour(8, 0.9, 0.8), outline("0,-36 40,-34 60,8 44,52 0,68 -44,52 -60,8 -40,-34"), bulge=1.6)
        spots = (oval(8, at=z) for z in (30 - 12j, 24 + 22j, 46 + 14j, 22 + 48j, 2 - 30j))
        insect.mark(BLACK, limb("0,-36 0,66", 2, 2), *both(*spots))
        insect.soft(9, 9, -22 - 14j, WHITE)
