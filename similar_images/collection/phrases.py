"""Phrases for the content of most photographs, compared with queries by words: see Collection.is_like_nothing."""

import numpy as np

SUBJECTS = """
a person; a child; a baby; a crowd of people; a face; a couple; a family; a man in a suit; a woman in a dress; hands; a group of friends;
a dog; a cat; a horse; a cow; a sheep; a bird; a fish; an insect; a butterfly; a snake; a frog; a monkey; an elephant; a lion; a bear; a
rabbit; a mouse; a chicken; a duck; a whale; a shark; a crab; a spider; a tree; a flower; a leaf; grass; a mushroom; a fruit; vegetables; an apple; a
cake; bread; a pizza; a plate of food; a cup of coffee; a bottle; a glass of wine; ice cream; a soup; a car; a bus; a train; a bicycle; a
motorcycle; a truck; a boat; a ship; an aeroplane; a helicopter; a rocket; a tractor; a road; a bridge; a tunnel; a railway; a house; a church; a
castle; a tower; a skyscraper; a factory; a shop; a market; a street; a city at night; a village; a garden; a park; a field; a farm; a forest; a
mountain; a hill; a valley; a desert; a beach; the sea; waves; a river; a lake; a waterfall; an island; a cave; snow; ice; rain; fog; clouds; the
sky; a sunset; the moon; stars; lightning; fire; smoke; a rainbow; rocks; sand; a room; a kitchen; a bedroom; a bathroom; an office; a classroom; a
library; a hospital; a restaurant; a stage; a stadium; a window; a door; stairs; a wall; a roof; a floor; a chair; a table; a bed; a sofa; a lamp; a
clock; a mirror; a carpet; a curtain; a computer; a keyboard; a telephone; a camera; a television; a radio; headphones; a book; a newspaper; a
letter; a map; a page of text; handwriting; a chart; a diagram; a screenshot; a logo; a sign; a flag; a poster; a drawing; a painting; a cartoon; a
sculpture; a pattern; a texture; a black and white photograph; a shirt; shoes; a hat; a bag; glasses; a watch; jewellery; a toy; a ball; a doll; a
game; a card; a coin; a tool; a knife; a hammer; scissors; a key; a box; a basket; a bucket; a rope; a machine; an engine; a wheel; a wire; a
guitar; a piano; a drum; a violin; a football match; a runner; a swimmer; a dancer; a skier; a climber; a wedding; a party; a concert; a
meeting; a demonstration; a soldier; a doctor; a cook; a police officer; an x-ray; a microscope image; a satellite image; a planet
"""
PHRASES = [" ".join(phrase.split()) for phrase in SUBJECTS.split(";")]


def described_better(found: np.ndarray, words: np.ndarray, phrases: np.ndarray) -> float:
    """Return the share of phrases (p, d) more similar to a hit than the words (d,): the median over hits (k, d).

    All are unit vectors. The share is independent of the scale of a network's similarities.
    """
    return float(np.median((found @ phrases.T > (found @ words)[:, None]).mean(axis=1)))
