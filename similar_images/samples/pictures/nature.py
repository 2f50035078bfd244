"""Animals and plants."""

import math

from similar_images.samples.pictures.canvas import (
    BLACK,
    HEIGHT,
    WHITE,
    WIDTH,
    Colour,
    Pen,
    Picture,
    hsv,
    kind,
    mix,
    smooth_points,
    somewhere,
    table_top,
)


@kind
def apple(picture: Picture) -> None:
    random = picture.random
    table_top(picture)
    fruit = somewhere(picture, 140, (0.95, 1.35))
    fruit.shadow(8, 50, 58, 13)
    skin = picture.vary(random.choice((0, 4, 8, 75, 85)), 0.8, 0.75)
    fruit.ball(-17, 2, 36, skin, 45)
    fruit.ball(17, 2, 36, skin, 45)
    fruit.ball(0, 6, 42, skin, 43)
    fruit.ellipse(0, -38, 16, 5, mix(skin, BLACK, 0.55))
    fruit.line([(0, -36), (3, -50), (8, -60)], 4, (80, 50, 25))
    fruit.polygon([(6, -52), (22, -68), (44, -66), (34, -52), (18, -47)], picture.vary(110, 0.65, 0.5))
    fruit.line([(8, -52), (38, -63)], 1.2, (190, 220, 150))
    fruit.glow(-18, -18, 7, WHITE, 0.85)


@kind
def fish(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(190, 0.6, 0.8), picture.vary(205, 0.8, 0.55), picture.vary(215, 0.85, 0.3))
    sand = picture.vary(42, 0.4, 0.7)
    picture.ground(212, sand, mix(sand, (40, 90, 130), 0.4))
    for _ in range(5):
        weed = picture.pen(random.uniform(0, WIDTH), 225, random.uniform(0.6, 1.2))
        sway = random.uniform(-12, 12)
        for lean in (-8, 0, 9):
            weed.line(
                [(lean, 0), (lean + sway / 2, -25), (lean - sway / 2, -50), (lean + sway, -75)],
                5,
                picture.vary(130, 0.6, 0.4),
            )
    animal = picture.pen(
        160 + random.uniform(-40, 40), 115 + random.uniform(-20, 20), random.uniform(0.95, 1.4), random.uniform(-12, 12),
        random.random() < 0.5,
    )  # fmt: skip
    body = picture.vary(random.choice((20, 28, 35, 48)), 0.9, 0.95)
    animal.polygon([(38, 0), (78, -30), (70, 0), (78, 30)], mix(body, BLACK, 0.12))
    animal.polygon([(-14, -24), (6, -48), (34, -40), (26, -16)], mix(body, BLACK, 0.18))
    animal.polygon([(-6, 24), (10, 42), (26, 18)], mix(body, BLACK, 0.18))
    animal.ball(0, 0, 52, body, 30, 0.3)
    for u, wide in ((-24, 6), (8, 7), (34, 4)):
        tall = 29 * math.sqrt(max(0, 1 - (u / 52) ** 2))
        animal.polygon(
            [
                (u - wide, -tall),
                (u + wide, -tall),
                (u + wide + 2, 0),
                (u + wide, tall),
                (u - wide, tall),
                (u - wide + 2, 0),
            ],
            (250, 250, 245),
        )
    animal.ellipse(-37, -6, 6, 6, WHITE)
    animal.ellipse(-38, -6, 3.4, 3.4, BLACK)
    animal.line([(-50, 6), (-43, 8)], 1.6, mix(body, BLACK, 0.6))
    for _ in range(9):
        radius = random.uniform(1.5, 5)
        bubble = picture.pen(random.uniform(0, WIDTH), random.uniform(5, 200))
        bubble.ellipse(0, 0, radius, radius, (170, 215, 235))
        bubble.ellipse(0.3, 0.3, radius * 0.75, radius * 0.75, (80, 150, 195))


@kind
def cactus(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(205, 0.5, 0.85), picture.vary(40, 0.3, 0.97))
    sun = picture.pen(random.uniform(30, 290), random.uniform(25, 60))
    sun.glow(0, 0, 32, (255, 245, 200), 0.7)
    sun.ellipse(0, 0, 14, 14, (255, 250, 220))
    sand = picture.vary(34, 0.5, 0.85)
    for base, shade in ((140, 0.2), (165, 0.08), (190, 0)):
        hills = [(x, base + 12 * math.sin(x / 45 + random.uniform(0, 0.4) + base)) for x in range(0, WIDTH + 20, 20)]
        picture.pen(0, 0).polygon([*hills, (WIDTH, HEIGHT), (0, HEIGHT)], mix(sand, (150, 80, 60), shade * 2))
    plant = picture.pen(
        160 + random.uniform(-60, 60), 130 + random.uniform(-8, 8), random.uniform(0.95, 1.3), 0, random.random() < 0.5
    )
    plant.shadow(28, 66, 50, 6, 0.4)
    green = picture.vary(125, 0.55, 0.45)
    arms = ([(0, 64), (0, -58)], [(0, 20), (-34, 18), (-34, -22)], [(0, 4), (30, 2), (30, -40)])
    for tone, width in ((mix(green, BLACK, 0.35), 1.0), (green, 0.78), (mix(green, WHITE, 0.22), 0.25)):
        for arm, thick in zip(arms, (26, 17, 17), strict=True):
            plant.line([(u - (1 - width) * 5, v) for u, v in arm], thick * width, tone)
    for v in range(-50, 60, 12):
        for u in (-8, 0, 8):
            plant.line([(u, v), (u + 2.5, v - 3)], 0.9, (225, 235, 200))
    if random.random() < 0.6:
        plant.ellipse(0, -72, 7, 5, picture.vary(330, 0.6, 0.9))


def fir(pen: Pen, green: Colour, snow: float) -> None:
    pen.polygon([(-4, 30), (4, 30), (4, 48), (-4, 48)], (85, 60, 40))
    for step in range(4):
        top, wide = -50 + 18 * step, 16 + 7 * step
        pen.polygon([(0, top), (wide, top + 32), (-wide, top + 32)], green)
        pen.polygon([(0, top), (wide, top + 32), (wide * 0.3, top + 32)], mix(green, BLACK, 0.25))
        if snow:
            pen.polygon(
                [(0, top), (wide * 0.5, top + 15), (0, top + 11), (-wide * 0.5, top + 15)],
                mix(green, WHITE, snow + 0.4),
            )


@kind
def pine_forest(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(205, 0.35, 0.85), picture.vary(30, 0.12, 0.95))
    for _ in range(3):
        peak = picture.pen(random.uniform(0, WIDTH), random.uniform(60, 90), random.uniform(0.9, 1.5))
        rock = picture.vary(225, 0.25, 0.55)
        peak.polygon([(-100, 90), (0, -40), (110, 90)], rock)
        peak.polygon([(0, -40), (110, 90), (30, 90)], mix(rock, BLACK, 0.2))
        peak.polygon([(-28, -4), (0, -40), (30, -6), (14, -12), (4, 2), (-10, -10)], (245, 248, 252))
    picture.ground(150, (250, 252, 255), picture.vary(210, 0.15, 0.88, 0.5))
    for y, scale in sorted((random.uniform(120, 185), random.uniform(0.7, 1.25)) for _ in range(13)):
        fir(picture.pen(random.uniform(0, WIDTH), y, scale * (0.35 + y / 220)), picture.vary(150, 0.5, 0.3), 0.5)


@kind
def sunflower(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(205, 0.55, 0.9), picture.vary(200, 0.25, 0.95), picture.vary(100, 0.5, 0.5))
    for _ in range(7):
        blur = picture.pen(random.uniform(0, WIDTH), random.uniform(170, 225))
        blur.glow(0, 0, random.uniform(8, 16), picture.vary(50, 0.8, 0.9), 0.6)
    flower = somewhere(picture, 105, (0.9, 1.25), 25)
    green = picture.vary(105, 0.6, 0.4)
    flower.line([(0, 0), (4, 80), (-4, 190)], 8, green)
    flower.polygon([(2, 95), (30, 70), (66, 78), (40, 98)], green)
    flower.polygon([(0, 115), (-28, 92), (-62, 104), (-34, 122)], mix(green, BLACK, 0.15))
    petal = picture.vary(47, 0.9, 0.97, 0.5)
    for layer, long in ((0.5, 66), (0, 58)):
        for step in range(16):
            angle = 360 / 16 * (step + layer)
            u, v = math.sin(math.radians(angle)), -math.cos(math.radians(angle))
            flower.ellipse(
                u * long * 0.68, v * long * 0.68, 9, long * 0.36, mix(petal, (200, 110, 0), 0.35 * layer * 2), angle
            )
    flower.ball(0, 0, 30, picture.vary(25, 0.65, 0.35), shade=0.5)
    for ring in (9, 16, 23):
        for step in range(ring):
            t = 2 * math.pi * step / ring
            flower.ellipse(ring * math.cos(t), ring * math.sin(t), 1.5, 1.5, (200, 140, 50))


@kind
def butterfly(picture: Picture) -> None:
    random = picture.random
    leaf = picture.vary(random.choice((85, 110, 140)), 0.45, 0.65)
    picture.backdrop(mix(leaf, WHITE, 0.35), mix(leaf, BLACK, 0.2))
    for _ in range(9):
        spot = picture.pen(random.uniform(0, WIDTH), random.uniform(0, HEIGHT))
        spot.glow(0, 0, random.uniform(12, 32), mix(leaf, random.choice((WHITE, BLACK, (250, 220, 120))), 0.35), 0.55)
    insect = somewhere(picture, 120, (0.95, 1.3), 30)
    hue = random.choice((22, 28, 35, 205, 215, 48))
    wing, edge = picture.vary(hue, 0.85, 0.92), (35, 28, 30)
    for side in (-1, 1):
        for colour, size in ((edge, 1), (wing, 0.84)):
            fore = [(6, -6), (18, -42), (48, -66), (78, -62), (82, -40), (62, -10), (30, 6)]
            hind = [(6, 2), (32, 8), (60, 14), (66, 38), (48, 58), (26, 52), (12, 28)]
            for part, u, v in ((hind, 38, 30), (fore, 46, -32)):
                insect.polygon(
                    [(side * (u + (x - u) * size), v + (y - v) * size) for x, y in smooth_points(part)], colour
                )
        for u, v, radius in ((60, -46, 7), (46, -24, 5), (46, 34, 6)):
            insect.ellipse(side * u, v, radius, radius, edge)
            insect.ellipse(side * u, v, radius * 0.55, radius * 0.55, (250, 245, 230))
        insect.line([(0, -34), (side * 10, -58), (side * 20, -70)], 1.8, edge)
    insect.ball(0, 4, 6, (60, 45, 40), 38)
    insect.ball(0, -36, 6.5, (60, 45, 40))


@kind
def mushroom(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(110, 0.4, 0.3), picture.vary(95, 0.45, 0.5))
    for _ in range(7):
        trunk = picture.pen(random.uniform(0, WIDTH), 0)
        trunk.polygon([(-7, 0), (7, 0), (9, 175), (-9, 175)], picture.vary(30, 0.35, 0.25))
    moss = picture.vary(90, 0.55, 0.4)
    picture.ground(random.uniform(165, 185), mix(moss, BLACK, 0.3), moss)
    plant = somewhere(picture, 130, (0.95, 1.25), 8)
    plant.shadow(6, 72, 42, 9)
    plant.polygon(smooth_points([(-13, -12), (13, -12), (15, 40), (26, 72), (-26, 72), (-15, 40)]), (240, 234, 215))
    plant.polygon(smooth_points([(3, -12), (13, -12), (15, 40), (26, 72), (8, 72)]), (212, 203, 180))
    plant.polygon(smooth_points([(-22, 6), (22, 6), (26, 16), (-26, 16)]), (228, 220, 198))
    cap = picture.vary(random.choice((0, 4, 8, 355)), 0.88, 0.8, 0.7)
    dome = [(66 * math.cos(t), -8 - 62 * math.sin(t)) for t in (step * math.pi / 30 for step in range(31))]
    plant.polygon([*dome, (-58, 4), (-20, 9), (20, 9), (58, 4)], mix(cap, BLACK, 0.2))
    inner = [(60 * math.cos(t) - 4, -12 - 56 * math.sin(t)) for t in (step * math.pi / 30 for step in range(31))]
    plant.polygon([*inner, (-40, -4), (30, -4)], cap)
    plant.glow(-24, -46, 12, WHITE, 0.4)
    for u, v, radius in ((-42, -20, 8), (-14, -50, 9), (18, -28, 10), (40, -14, 7), (32, -52, 6), (-12, -14, 7)):
        plant.ellipse(u, v, radius * random.uniform(0.8, 1.1), radius * 0.8, (248, 246, 238))
    for _ in range(40):
        x, y = random.uniform(0, WIDTH), random.uniform(195, HEIGHT)
        picture.pen(x, y).line([(0, 0), (random.uniform(-4, 4), -random.uniform(8, 18))], 1.2, mix(moss, WHITE, 0.25))


@kind
def cat(picture: Picture) -> None:
    random = picture.random
    wall = picture.vary(random.choice((15, 45, 180, 260)), 0.3, 0.75, 1.5)
    picture.backdrop(mix(wall, WHITE, 0.2), mix(wall, BLACK, 0.2))
    head = somewhere(picture, 128, (0.95, 1.25), 14)
    fur = random.choice((hsv(28, 0.7, 0.85), hsv(30, 0.15, 0.5), hsv(25, 0.4, 0.45), hsv(35, 0.2, 0.88)))
    dark = mix(fur, BLACK, 0.4)
    head.ball(0, 88, 70, mix(fur, BLACK, 0.12), 48)
    for side in (-1, 1):
        head.polygon([(side * 22, -42), (side * 60, -84), (side * 64, -14)], fur)
        head.polygon([(side * 32, -42), (side * 54, -68), (side * 57, -26)], (230, 160, 160))
    head.ball(0, 0, 66, fur, 56, 0.25)
    for u in (-16, 0, 16):
        head.polygon([(u - 4, -52), (u + 4, -52), (u * 0.7, -26)], dark)
    for side in (-1, 1):
        for v in (4, 16):
            head.polygon([(side * 64, v - 4), (side * 62, v + 4), (side * 40, v)], dark)
    head.ball(0, 28, 28, mix(fur, WHITE, 0.75), 20, 0.12)
    eye = picture.vary(random.choice((95, 50, 195)), 0.65, 0.85)
    for side in (-1, 1):
        head.ellipse(side * 26, -6, 14, 12, BLACK)
        head.ellipse(side * 26, -6, 12.5, 10.5, eye)
        head.ellipse(side * 26, -6, 4.5, 10, BLACK)
        head.ellipse(side * 26 - 4, -10, 2.6, 2.6, WHITE)
        for v in (22, 30, 38):
            head.line([(side * 22, v), (side * 84, v + (v - 30) * 1.2)], 1.1, (250, 250, 250))
    head.polygon([(-8, 16), (8, 16), (0, 25)], (225, 125, 130))
    head.line([(0, 25), (0, 32), (-10, 38)], 2, (90, 55, 55))
    head.line([(0, 32), (10, 38)], 2, (90, 55, 55))
