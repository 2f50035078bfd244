"""The plot of a blind comparison: the win rate by number of votes."""

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from similar_images.comparison.statistics import confidence_sequence
from similar_images.comparison.votes import Vote
from similar_images.evaluation.plots import COLOURS, INK, as_svg, new_figure


def win_rate(votes: list[Vote], first: str, second: str) -> Markup:
    """Draw the win rate of the first of two systems with its 95% interval, by number of votes."""
    winners = [vote.winner for vote in votes]
    wins = np.cumsum([winner == first for winner in winners])
    losses = np.cumsum([winner == second for winner in winners])
    decided = np.flatnonzero(wins + losses)
    intervals = np.array([confidence_sequence(int(wins[at]), int(losses[at])) for at in decided]).reshape(-1, 2)
    shares = wins[decided] / (wins + losses)[decided]
    figure = new_figure(3)
    axis = figure.subplots()
    axis.fill_between(decided + 1, *intervals.T, color=COLOURS[0], alpha=0.25, linewidth=0, label="95% interval")
    title = f"win rate of {first} against {second}"
    axis.plot(decided + 1, shares, ".-", color=COLOURS[0], markersize=4, label=title)
    axis.axhline(0.5, color=INK, alpha=0.5, linewidth=1, linestyle="--", label="no preference")
    axis.set_ylim(-0.02, 1.02)
    axis.set_xlim(0.5, max(len(votes), 2) + 0.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("votes")
    axis.set_ylabel("win rate")
    figure.legend(loc="outside lower center", ncols=3)
    said = "{:.2f} [{:.2f}, {:.2f}]".format(shares[-1], *intervals[-1]) if len(decided) else "none"
    return as_svg(figure, f"win rate of {first} against {second} after {len(votes)} votes: {said}")
