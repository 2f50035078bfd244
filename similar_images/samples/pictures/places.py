"""Buildings and landscapes."""

import math

import numpy as np

from similar_images.samples.pictures.canvas import (
    BLACK,
    HEIGHT,
    WHITE,
    WIDTH,
    Colour,
    Picture,
    hsv,
    kind,
    mix,
    smooth_points,
    somewhere,
)
from similar_images.samples.pictures.nature import fir


@kind
def house_by_night(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(232, 0.75, 0.14), picture.vary(225, 0.6, 0.36))
    picture.stars(70, 150)
    moon = picture.pen(random.choice((50, 270)) + random.uniform(-25, 25), random.uniform(28, 60))
    moon.glow(0, 0, 38, (230, 230, 200), 0.45)
    moon.ball(0, 0, 15, (235, 232, 205), shade=0.1)
    grass = picture.vary(150, 0.5, 0.16)
    picture.ground(185, mix(grass, BLACK, 0.4), grass)
    house = picture.pen(160 + random.uniform(-45, 45), 140 + random.uniform(-8, 8), random.uniform(0.9, 1.25))
    wall = picture.vary(random.choice((20, 35, 210)), 0.35, 0.34)
    house.polygon([(-58, -22), (58, -22), (58, 55), (-58, 55)], wall)
    house.polygon([(30, -72), (44, -72), (44, -40), (30, -40)], mix(wall, BLACK, 0.4))
    house.polygon([(-72, -20), (-38, -66), (38, -66), (72, -20)], picture.vary(8, 0.5, 0.24))
    lamp = picture.vary(46, 0.65, 1, 0.5)
    for x in (-42, 18):
        house.glow(x + 12, 2, 30, lamp, 0.5)
        house.polygon([(x, -10), (x + 24, -10), (x + 24, 16), (x, 16)], lamp)
        house.line([(x + 12, -10), (x + 12, 16)], 2, mix(wall, BLACK, 0.3))
        house.line([(x, 3), (x + 24, 3)], 2, mix(wall, BLACK, 0.3))
    house.polygon([(-9, 8), (9, 8), (9, 55), (-9, 55)], picture.vary(20, 0.6, 0.25))
    house.glow(0, 70, 30, lamp, 0.3)


@kind
def snowman(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(210, 0.3, 0.75), picture.vary(205, 0.12, 0.92))
    picture.ground(random.uniform(165, 185), (250, 252, 255), picture.vary(210, 0.15, 0.85, 0.5))
    for _ in range(random.randint(1, 3)):
        fir(picture.pen(random.uniform(10, 310), 160, random.uniform(0.5, 0.9)), picture.vary(150, 0.35, 0.4), 0.5)
    man = somewhere(picture, 128, (0.85, 1.15), 5)
    man.shadow(10, 82, 52, 10, 0.3)
    for v, radius in ((50, 38), (0, 28), (-40, 20)):
        man.ball(0, v, radius, (240, 244, 250), shade=0.22)
    cloth = picture.vary(random.choice((0, 120, 220, 300)), 0.75, 0.7)
    man.polygon([(-22, -26), (22, -26), (24, -17), (-24, -17)], cloth)
    man.polygon([(8, -20), (20, -20), (24, 14), (13, 14)], mix(cloth, BLACK, 0.15))
    man.polygon([(-24, -58), (24, -58), (24, -53), (-24, -53)], BLACK)
    man.polygon([(-15, -88), (15, -88), (16, -57), (-16, -57)], (35, 35, 42))
    man.polygon([(-16, -66), (16, -66), (16, -59), (-16, -59)], cloth)
    for u, v in ((-7, -45), (7, -45), (0, -8), (0, 4), (0, 36)):
        man.ellipse(u, v, 2.6, 2.6, BLACK)
    man.polygon([(0, -41), (24, -36), (0, -35)], (235, 125, 35))
    for side in (-1, 1):
        man.line([(side * 25, -4), (side * 58, -24)], 3, (90, 60, 35))
        man.line([(side * 50, -19), (side * 62, -14)], 2, (90, 60, 35))
    for _ in range(60):
        flake = random.uniform(0.8, 2)
        picture.pen(random.uniform(0, WIDTH), random.uniform(0, HEIGHT)).ellipse(0, 0, flake, flake, WHITE)


@kind
def lighthouse(picture: Picture) -> None:
    random = picture.random
    horizon = random.uniform(150, 175)
    picture.backdrop(picture.vary(208, 0.55, 0.8), picture.vary(200, 0.2, 0.95))
    for _ in range(3):
        picture.cloud(random.uniform(0, 320), random.uniform(20, 90), random.uniform(18, 34), WHITE)
    sea = picture.vary(205, 0.65, 0.5)
    picture.ground(horizon, mix(sea, BLACK, 0.3), mix(sea, WHITE, 0.25))
    for _ in range(30):
        x, y = random.uniform(0, WIDTH), random.uniform(horizon + 4, HEIGHT)
        picture.pen(x, y).line([(0, 0), (random.uniform(6, 22), 0)], 1.1, mix(sea, WHITE, 0.5))
    tower = picture.pen(160 + random.uniform(-80, 80), horizon - 50, random.uniform(0.95, 1.2), random.uniform(-2, 2))
    rock = picture.vary(30, 0.2, 0.4)
    tower.polygon([(-85, 75), (-52, 52), (-24, 44), (30, 46), (58, 56), (88, 78)], rock)
    tower.polygon([(-40, 75), (-15, 50), (10, 60), (40, 76)], mix(rock, BLACK, 0.25))
    stripe = picture.vary(random.choice((2, 5, 358, 215)), 0.8, 0.75, 0.6)
    for step in range(6):
        top, bottom = -50 + 16 * step, -34 + 16 * step
        wide, wider = 13 + 1.7 * step, 13 + 1.7 * (step + 1)
        colour = stripe if step % 2 == 0 else (242, 240, 234)
        tower.polygon([(-wide, top), (wide, top), (wider, bottom), (-wider, bottom)], colour)
        tower.polygon(
            [(wide * 0.35, top), (wide, top), (wider, bottom), (wider * 0.35, bottom)], mix(colour, BLACK, 0.2)
        )
    tower.polygon([(-19, -55), (19, -55), (19, -49), (-19, -49)], (50, 50, 55))
    tower.glow(0, -64, 22, (255, 240, 170), 0.6)
    tower.polygon([(-10, -74), (10, -74), (10, -55), (-10, -55)], (255, 240, 170))
    for u in (-10, 0, 10):
        tower.line([(u, -74), (u, -55)], 1.5, (50, 50, 55))
    tower.polygon([(-14, -73), (14, -73), (0, -90)], stripe)


@kind
def rainbow(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(215, 0.3, 0.6), picture.vary(205, 0.25, 0.85))
    arch = picture.pen(160 + random.uniform(-50, 50), random.uniform(185, 215), random.uniform(0.95, 1.25))
    sky = (165, 195, 220)
    for step, hue in enumerate((0, 28, 55, 120, 200, 240, 280)):
        radius = 138 - 7 * step
        bow = [(radius * math.cos(t), -radius * math.sin(t)) for t in (step * math.pi / 40 for step in range(41))]
        arch.line(bow, 7.6, mix(hsv(hue, 0.75, 0.98), sky, 0.22))
    for _ in range(3):
        picture.cloud(random.uniform(0, 320), random.uniform(25, 75), random.uniform(20, 36), (240, 243, 248))
    for base, value in ((165, 0.55), (185, 0.48), (210, 0.42)):
        phase, green = random.uniform(0, 6), picture.vary(110, 0.6, value)
        hill = [(x, base + 14 * math.sin(x / 60 + phase)) for x in range(0, WIDTH + 10, 10)]
        picture.pen(0, 0).polygon([*hill, (WIDTH, HEIGHT), (0, HEIGHT)], green)


@kind
def skyscrapers(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(245, 0.6, 0.16), picture.vary(265, 0.5, 0.34), picture.vary(320, 0.45, 0.5))
    picture.stars(25, 90)
    for layer, tone in ((0, 0.24), (1, 0.14)):
        x = random.uniform(-30, 0)
        while x < WIDTH:
            wide, top = random.uniform(28, 52), random.uniform(25, 110) + 35 * layer
            wall = picture.vary(235, 0.4, tone, 0.4)
            tower = picture.pen(x, top)
            tower.polygon([(0, 0), (wide, 0), (wide, HEIGHT), (0, HEIGHT)], wall)
            if random.random() < 0.4:
                tower.line([(wide / 2, 0), (wide / 2, -18)], 1.6, wall)
            lamp = picture.vary(random.choice((45, 50, 200)), 0.5, 0.95)
            for v in np.arange(6, HEIGHT - top - 6, 9):
                for u in np.arange(4, wide - 5, 7.5):
                    if random.random() < 0.55:
                        tower.polygon(
                            [(u, v), (u + 4, v), (u + 4, v + 5), (u, v + 5)], mix(lamp, wall, random.uniform(0, 0.5))
                        )
            x += wide + random.uniform(-4, 8)


@kind
def castle(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(205, 0.45, 0.9), picture.vary(35, 0.15, 0.96))
    for _ in range(2):
        picture.cloud(random.uniform(0, 320), random.uniform(20, 60), random.uniform(18, 30), WHITE)
    hill = picture.vary(100, 0.5, 0.5)
    slope = [(x, 205 - 35 * math.exp(-(((x - 160) / 110) ** 2))) for x in range(0, WIDTH + 10, 10)]
    picture.pen(0, 0).polygon([*slope, (WIDTH, HEIGHT), (0, HEIGHT)], hill)
    fort = picture.pen(160 + random.uniform(-35, 35), 122 + random.uniform(-8, 8), random.uniform(0.9, 1.15))
    stone, roof = (
        picture.vary(random.choice((35, 40, 220)), 0.15, 0.68),
        picture.vary(random.choice((5, 220, 355)), 0.65, 0.6),
    )

    def battlements(left: float, right: float, top: float, colour: Colour) -> None:
        fort.polygon([(left, top), (right, top), (right, 62), (left, 62)], colour)
        count = round((right - left) / 14)
        for step in range(count):
            u = left + (right - left) * step / count
            fort.polygon([(u + 1.5, top - 8), (u + 9, top - 8), (u + 9, top), (u + 1.5, top)], colour)

    battlements(-66, 66, -8, mix(stone, BLACK, 0.1))
    for u, top, wide in ((-72, -36, 15), (72, -36, 15), (0, -58, 20)):
        battlements(u - wide, u + wide, top, stone)
        fort.polygon(
            [(u + wide * 0.3, top), (u + wide, top), (u + wide, 62), (u + wide * 0.3, 62)], mix(stone, BLACK, 0.18)
        )
        fort.polygon([(u - wide - 4, top - 6), (u + wide + 4, top - 6), (u, top - 44)], roof)
        fort.line([(u, top - 44), (u, top - 60)], 1.5, (70, 60, 55))
        fort.polygon([(u, top - 60), (u + 16, top - 55), (u, top - 50)], picture.vary(50, 0.85, 0.95))
        for v in (top + 12, top + 40):
            fort.polygon([(u - 3, v), (u + 3, v), (u + 3, v + 12), (u - 3, v + 12)], (50, 42, 42))
    gate = [(14 * math.cos(t), 32 - 16 * math.sin(t)) for t in (step * math.pi / 16 for step in range(17))]
    fort.polygon([*gate, (-14, 62), (14, 62)], (62, 42, 30))


@kind
def ringed_planet(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(260, 0.7, 0.08), picture.vary(240, 0.6, 0.15))
    picture.stars(130)
    planet = somewhere(picture, 120, (0.85, 1.25), 30)
    body = picture.vary(random.choice((35, 40, 25, 200)), 0.45, 0.82)
    ring = mix(body, WHITE, 0.3)

    def arc(first: int, last: int) -> None:
        for far, width, tone in ((98, 9, 0), (86, 7, 0.25), (76, 5, 0.45)):
            path = [
                (far * math.cos(t), far * 0.28 * math.sin(t))
                for t in (math.pi * step / 30 for step in range(first, last))
            ]
            planet.line(path, width, mix(ring, BLACK, tone))

    arc(30, 61)
    planet.ball(0, 0, 54, body, shade=0.6)
    for v, tall, tone in ((-26, 4, 0.18), (-10, 6, 0.1), (12, 5, 0.2), (28, 4, 0.12)):
        wide = math.sqrt(54**2 - v**2) * 0.96
        planet.polygon(
            smooth_points([(-wide, v - tall / 2), (wide, v - tall / 2), (wide, v + tall / 2), (-wide, v + tall / 2)]),
            mix(body, BLACK, tone),
        )
    arc(0, 31)
