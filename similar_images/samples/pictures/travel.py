"""What moves, and what one meets on the way."""

import math

from similar_images.samples.pictures.canvas import (
    BLACK,
    HEIGHT,
    WHITE,
    WIDTH,
    Picture,
    hsv,
    kind,
    mix,
    smooth_points,
    somewhere,
)


@kind
def sailing_boat(picture: Picture) -> None:
    random = picture.random
    horizon = random.uniform(125, 160)
    evening = picture.vary(18, 0.75, 0.95)
    picture.backdrop(picture.vary(255, 0.45, 0.5), picture.vary(330, 0.4, 0.8), evening, picture.vary(45, 0.6, 0.98))
    sun = picture.pen(random.uniform(60, 260), horizon - random.uniform(0, 30))
    sun.glow(0, 0, 60, (255, 220, 150), 0.7)
    sun.ellipse(0, 0, 20, 20, (255, 240, 190))
    sea = picture.vary(225, 0.5, 0.35)
    picture.ground(horizon, mix(sea, BLACK, 0.4), mix(sea, evening, 0.6))
    for _ in range(60):
        y = random.uniform(horizon + 2, HEIGHT)
        spread = 8 + (y - horizon) * 0.45
        x = random.gauss(sun.x, spread)
        picture.pen(x, y).line(
            [(-random.uniform(3, 14), 0), (random.uniform(3, 14), 0)], 1.3, mix(sea, (255, 205, 140), 0.65)
        )
    boat = picture.pen(
        random.uniform(80, 240), horizon + random.uniform(12, 30), random.uniform(0.9, 1.45), random.uniform(-5, 5),
        random.random() < 0.5,
    )  # fmt: skip
    boat.shadow(0, 16, 48, 6, 0.5)
    sail = picture.vary(40, 0.12, 0.93)
    boat.polygon([(4, -92), (4, -4), (52, -6), (24, -45)], sail)
    boat.polygon([(-3, -84), (-3, -4), (-38, -6), (-14, -46)], mix(sail, (220, 120, 80), 0.35))
    boat.line([(0, -95), (0, 4)], 2.2, (70, 40, 30))
    boat.polygon([(-46, 0), (52, 0), (36, 17), (-32, 17)], picture.vary(random.choice((5, 20, 210)), 0.6, 0.35))
    boat.line([(-45, 1), (51, 1)], 2.5, (235, 225, 210))


@kind
def hot_air_balloon(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(212, 0.6, 0.85), picture.vary(200, 0.25, 0.95), picture.vary(45, 0.2, 0.95))
    for _ in range(4):
        picture.cloud(random.uniform(0, 320), random.uniform(60, 230), random.uniform(20, 40), WHITE)
    hue = random.uniform(0, 360)
    far = picture.pen(random.choice((55, 265)), random.uniform(60, 100), random.uniform(0.35, 0.5))
    for balloon, turn in ((far, 150), (somewhere(picture, 105, (1, 1.3), 6), 0)):
        one, other = hsv(hue + turn, 0.8, 0.85), hsv(hue + turn + random.choice((40, 120, 180)), 0.65, 0.95)
        for strip, colour in zip(range(6), (one, other) * 3, strict=True):
            wide = 46 * math.cos(strip * math.pi / 12)
            lower = [(wide * math.cos(t), -25 + 46 * math.sin(t)) for t in (0.35, 0.0)]
            dome = [(wide * math.cos(t), -25 - 48 * math.sin(t)) for t in (step * math.pi / 24 for step in range(25))]
            lower_left = [(-wide, -25), (-wide * math.cos(0.35), -25 + 46 * math.sin(0.35))]
            balloon.polygon(
                [(-9 * wide / 46, 40), *reversed(lower_left), *reversed(dome), *reversed(lower), (9 * wide / 46, 40)],
                colour,
            )
        balloon.glow(-16, -42, 14, WHITE, 0.35)
        for u in (-7, 7):
            balloon.line([(u, 40), (u * 0.9, 54)], 1, (70, 50, 40))
        balloon.polygon([(-8, 53), (8, 53), (7, 66), (-7, 66)], (125, 85, 45))
        balloon.line([(-8, 54), (8, 54)], 2, (90, 60, 30))


@kind
def traffic_light(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(210, 0.25, 0.75), picture.vary(40, 0.1, 0.85))
    for x in range(-20, WIDTH, 45):
        top, tone = random.uniform(60, 140), picture.vary(random.choice((20, 210)), 0.15, 0.6)
        picture.pen(x, 0).polygon([(0, top), (44, top), (44, HEIGHT), (0, HEIGHT)], tone)
        for v in range(int(top) + 10, 215, 20):
            for u in (8, 20, 32):
                picture.pen(x, v).polygon([(u, 0), (u + 6, 0), (u + 6, 9), (u, 9)], mix(tone, BLACK, 0.3))
    picture.ground(215, (70, 70, 74), (100, 100, 104))
    light = somewhere(picture, 105, (0.95, 1.25), 4)
    light.polygon([(-5, 70), (5, 70), (5, 150), (-5, 150)], (55, 58, 60))
    light.polygon([(-32, -80), (32, -80), (32, 74), (-32, 74)], (38, 42, 42))
    light.polygon([(-28, -76), (28, -76), (28, 70), (-28, 70)], (52, 57, 56))
    on = random.randrange(3)
    for step, hue in enumerate((2, 45, 140)):
        v = -52 + 49 * step
        light.ellipse(0, v, 22, 22, (25, 27, 27))
        if step == on:
            light.glow(0, v, 38, hsv(hue, 0.8, 1), 0.75)
            light.ball(0, v, 19, hsv(hue, 0.9, 1), shade=0.1)
        else:
            light.ball(0, v, 19, hsv(hue, 0.7, 0.28))
        light.polygon(
            [(-24, v - 16), (-18, v - 25), (18, v - 25), (24, v - 16), (18, v - 20), (-18, v - 20)], (25, 27, 27)
        )


@kind
def umbrella(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(215, 0.2, 0.45), picture.vary(210, 0.15, 0.62))
    picture.ground(200, picture.vary(215, 0.2, 0.32), picture.vary(210, 0.15, 0.45))
    for _ in range(90):
        x, y, long = random.uniform(-20, WIDTH), random.uniform(-20, HEIGHT), random.uniform(8, 20)
        picture.pen(x, y).line([(0, 0), (long * 0.25, long)], 0.9, (175, 190, 205))
    shade = somewhere(picture, 115, (0.95, 1.3), 18)
    hue = random.uniform(0, 360)
    one, other = hsv(hue, 0.8, 0.8), hsv(hue + random.choice((0, 30, 180)), 0.75, 0.62)
    shade.line([(0, -64), (0, 72)], 3, (60, 50, 45))
    hook = [(9 * math.cos(t) - 9, 72 + 11 * math.sin(t)) for t in (step * math.pi / 10 for step in range(11))]
    shade.line(hook, 4.5, (110, 70, 35))
    for strip, colour in zip(range(4), (one, other) * 2, strict=True):
        wide = 84 * (1 - strip * 0.27)
        dome = [(wide * math.cos(t), 2 - 62 * math.sin(t)) for t in (step * math.pi / 24 for step in range(25))]
        scallops = [(-wide + 2 * wide * step / 8, 2 - (5 if step % 2 else 0)) for step in range(9)]
        shade.polygon([*dome, *scallops], colour)
    shade.glow(-28, -34, 13, WHITE, 0.3)
    for _ in range(7):
        picture.pen(random.uniform(0, WIDTH), random.uniform(210, 236)).ellipse(
            0, 0, random.uniform(6, 16), 2.2, (140, 150, 165)
        )


@kind
def rocket(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(250, 0.75, 0.1), picture.vary(235, 0.7, 0.22))
    picture.stars(110)
    planet = picture.pen(random.choice((40, 280)), random.choice((40, 205)), random.uniform(0.7, 1.2))
    planet.ball(0, 0, 32, picture.vary(random.uniform(0, 360), 0.5, 0.7))
    ship = somewhere(picture, 118, (0.9, 1.15), 40)
    ship.glow(0, 82, 26, (255, 170, 60), 0.7)
    for wide, long, colour in ((14, 112, (255, 120, 30)), (9, 96, (255, 210, 70)), (5, 82, (255, 250, 210))):
        ship.polygon(smooth_points([(-wide, 54), (wide, 54), (wide * 0.6, 75), (0, long), (-wide * 0.6, 75)]), colour)
    paint_ = picture.vary(random.choice((0, 5, 215, 140)), 0.8, 0.8)
    for side in (-1, 1):
        ship.polygon([(side * 18, 18), (side * 42, 52), (side * 40, 66), (side * 16, 52)], mix(paint_, BLACK, 0.1))
    hull = smooth_points([(0, -92), (20, -50), (24, 0), (17, 56), (-17, 56), (-24, 0), (-20, -50)])
    ship.polygon(hull, (232, 234, 240))
    ship.polygon([(u * 0.5 + 11, v) for u, v in hull], (198, 202, 212))
    ship.polygon(smooth_points([(0, -92), (0, -92), (17, -50), (0, -46), (-17, -50)]), paint_)
    ship.polygon([(-21, 34), (21, 34), (20, 42), (-20, 42)], paint_)
    ship.ellipse(0, -16, 12, 12, mix(paint_, BLACK, 0.2))
    ship.ball(0, -16, 9, (110, 190, 230))
    ship.polygon([(-12, 54), (12, 54), (15, 62), (-15, 62)], (75, 78, 85))
