"""Things on a table, on a wall or in a field."""

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
    star_points,
    table_top,
)


@kind
def chessboard(picture: Picture) -> None:
    random = picture.random
    table = picture.vary(random.choice((25, 100, 210)), 0.4, 0.45, 1.5)
    picture.backdrop(mix(table, WHITE, 0.1), mix(table, BLACK, 0.25))
    board = somewhere(picture, 120, (0.95, 1.3), 30)
    board.shadow(4, 6, 98, 98, 0.5)
    dark, light = picture.vary(25, 0.6, 0.32), picture.vary(40, 0.25, 0.93)
    board.polygon([(-88, -88), (88, -88), (88, 88), (-88, 88)], mix(dark, BLACK, 0.35))
    for row in range(8):
        for column in range(8):
            x, y = -80 + 20 * column, -80 + 20 * row
            board.polygon([(x, y), (x + 20, y), (x + 20, y + 20), (x, y + 20)], dark if (row + column) % 2 else light)
    for _ in range(random.randint(4, 12)):
        x, y = -70 + 20 * random.randrange(8), -70 + 20 * random.randrange(8)
        piece = random.choice(((245, 235, 215), (35, 30, 30)))
        board.ellipse(x + 2, y + 2, 7.5, 7.5, mix(dark, BLACK, 0.6))
        board.ball(x, y, 7.5, mix(piece, BLACK, 0.15))
        board.ball(x, y, 4, piece)


@kind
def pizza(picture: Picture) -> None:
    random = picture.random
    wood = picture.vary(random.choice((28, 30, 215)), 0.45, 0.5, 1.5)
    picture.backdrop(wood, mix(wood, BLACK, 0.2))
    for y in range(15, HEIGHT, 40):
        picture.pen(0, y).line([(0, 0), (WIDTH, random.uniform(-3, 3))], 1.5, mix(wood, BLACK, 0.4))
    pie = somewhere(picture, 120, (0.95, 1.25), 180)
    pie.shadow(4, 6, 90, 88, 0.5)
    pie.ellipse(0, 0, 90, 90, (240, 238, 232))
    pie.ball(0, 0, 84, picture.vary(32, 0.6, 0.75), shade=0.25)
    pie.ellipse(0, 0, 73, 73, picture.vary(8, 0.8, 0.7))
    pie.ellipse(0, 0, 70, 70, picture.vary(44, 0.6, 0.93))
    for _ in range(35):
        angle, far = random.uniform(0, 6.28), 68 * math.sqrt(random.random())
        pie.glow(far * math.cos(angle), far * math.sin(angle), random.uniform(3, 6), picture.vary(25, 0.7, 0.85), 0.6)
    topping = random.choice(((3, 0.75, 0.7), (8, 0.7, 0.6), (355, 0.7, 0.65)))
    for step in range(11):
        angle, far = step * 2.4 + random.uniform(-0.2, 0.2), 18 * math.sqrt(step + 0.4)
        pie.ball(far * math.cos(angle), far * math.sin(angle), 10.5, picture.vary(*topping, 0.5), shade=0.25)
    for _ in range(12):
        angle, far = random.uniform(0, 6.28), 64 * math.sqrt(random.random())
        u, v = far * math.cos(angle), far * math.sin(angle)
        if random.random() < 0.5:
            pie.ellipse(u, v, 7, 4, picture.vary(115, 0.7, 0.4), random.uniform(0, 180))
        else:
            pie.ellipse(u, v, 4.5, 4.5, (40, 38, 45))
            pie.ellipse(u, v, 2, 2, picture.vary(44, 0.6, 0.85))
    if random.random() < 0.7:
        for angle in (0, 60, 120):
            u, v = 84 * math.cos(math.radians(angle)), 84 * math.sin(math.radians(angle))
            pie.line([(-u, -v), (u, v)], 1.4, (150, 95, 40))


@kind
def clock(picture: Picture) -> None:
    random = picture.random
    wall = picture.vary(random.choice((30, 90, 200, 340)), 0.3, 0.8, 1.5)
    picture.backdrop(mix(wall, WHITE, 0.15), mix(wall, BLACK, 0.12))
    face = somewhere(picture, 120, (0.85, 1.2), 4)
    face.shadow(8, 10, 92, 92, 0.4)
    face.ball(0, 0, 92, picture.vary(random.choice((20, 210, 0, 45)), 0.55, 0.4, 1.5), shade=0.4)
    face.ellipse(0, 0, 80, 80, (215, 213, 205))
    face.ellipse(0, 0, 78, 78, (250, 248, 240))
    for step in range(60):
        t = math.pi * step / 30
        inner, width = (62, 4) if step % 5 == 0 else (70, 1.3)
        face.line([(inner * math.sin(t), -inner * math.cos(t)), (73 * math.sin(t), -73 * math.cos(t))], width, BLACK)
    minutes = random.uniform(0, 720)
    for t, long, width in ((minutes / 720, 40, 6), (minutes / 60, 60, 4)):
        u, v = math.sin(2 * math.pi * t), -math.cos(2 * math.pi * t)
        face.line([(-10 * u, -10 * v), (long * u, long * v)], width, (30, 30, 35))
    second = random.uniform(0, 6.28)
    face.line(
        [(-14 * math.sin(second), 14 * math.cos(second)), (66 * math.sin(second), -66 * math.cos(second))],
        1.5,
        (205, 40, 35),
    )
    face.ellipse(0, 0, 5, 5, (205, 40, 35))


@kind
def football(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(205, 0.4, 0.9), picture.vary(110, 0.3, 0.7))
    grass = picture.vary(110, 0.65, 0.5)
    edge = random.uniform(85, 115)
    picture.ground(edge, mix(grass, BLACK, 0.15), mix(grass, WHITE, 0.15))
    for step in range(0, WIDTH + 160, 64):
        picture.pen(step - 80, edge).polygon([(20, 0), (50, 0), (30, 160), (-40, 160)], mix(grass, BLACK, 0.12))
    for _ in range(130):
        x, y = random.uniform(0, WIDTH), random.uniform(edge + 4, HEIGHT)
        picture.pen(x, y).line([(0, 0), (random.uniform(-2, 2), -4)], 1, mix(grass, WHITE, random.uniform(0.05, 0.3)))
    ball = somewhere(picture, 138, (0.85, 1.2), 180)
    picture.pen(ball.x, ball.y, ball.scale).shadow(10, 60, 58, 11)
    ball.ball(0, 0, 62, (240, 240, 240), shade=0.3)
    black = (32, 32, 36)
    ball.polygon(star_points(21, 0.81, 5), black)
    for step in range(5):
        t = math.radians(72 * step)
        u, v = math.sin(t), -math.cos(t)
        ball.line([(21 * u, 21 * v), (38 * u, 38 * v)], 2, black)
        across = (v, -u)
        patch = [(38, 0), (46, 13), (60, 12), (60, -12), (46, -13)]
        ball.polygon([(u * r + across[0] * s, v * r + across[1] * s) for r, s in patch], black)
        next_ = math.radians(72 * step + 36)
        ball.line(
            [
                (u * 46 + across[0] * 13, v * 46 + across[1] * 13),
                (50 * math.sin(next_ - 0.63), -50 * math.cos(next_ - 0.63)),
            ],
            2,
            black,
        )
        ball.line(
            [(u * 46 - across[0] * 13, v * 46 - across[1] * 13), (44 * math.sin(next_), -44 * math.cos(next_))],
            2,
            black,
        )
        ball.line(
            [
                (u * 46 + across[0] * 13, v * 46 + across[1] * 13),
                (44 * math.sin(next_ - 1.2566), -44 * math.cos(next_ - 1.2566)),
            ],
            2,
            black,
        )
    ball.glow(-20, -24, 13, WHITE, 0.5)


@kind
def cup_of_coffee(picture: Picture) -> None:
    random = picture.random
    table_top(picture, random.choice((22, 30, 35)))
    cup = picture.pen(
        160 + random.uniform(-45, 45), 138 + random.uniform(-10, 10), random.uniform(0.95, 1.3), random.uniform(-2, 2),
        random.random() < 0.5,
    )  # fmt: skip
    glaze = random.choice((hsv(0, 0, 0.95), hsv(0, 0, 0.93), picture.vary(200, 0.45, 0.8), picture.vary(5, 0.7, 0.75)))
    cup.shadow(6, 54, 84, 15)
    cup.ellipse(0, 50, 80, 15, mix(glaze, BLACK, 0.25))
    cup.ellipse(0, 47, 80, 15, glaze)
    cup.ellipse(0, 47, 52, 9, mix(glaze, BLACK, 0.12))
    ring = [(50 + 22 * math.cos(t), 2 + 20 * math.sin(t)) for t in (math.pi * (step / 12 - 0.5) for step in range(13))]
    cup.line(ring, 8, mix(glaze, BLACK, 0.12))
    sides = smooth_points([(-54, -32), (-50, 10), (-32, 48), (32, 48), (50, 10), (54, -32), (0, -30)])
    cup.polygon(sides, glaze)
    cup.polygon([(u * 0.42 + 26, v) for u, v in sides], mix(glaze, BLACK, 0.1))
    cup.ellipse(0, -30, 54, 14, mix(glaze, WHITE, 0.3))
    cup.ellipse(0, -29, 49, 11.5, mix(glaze, BLACK, 0.3))
    cup.ellipse(0, -27, 46, 9.5, picture.vary(22, 0.7, 0.26, 0.5))
    cup.ellipse(-10, -28, 17, 3.2, picture.vary(28, 0.5, 0.5, 0.5))
    for u in (-18, 2, 22):
        sway = random.uniform(5, 11)
        path = [(u + sway * math.sin(v / 9), -42 - v) for v in range(0, 52, 4)]
        wide = [(x + 4, y) for x, y in path]
        picture.soft([cup.at(path + wide[::-1])], WHITE, 2, 0.75)
