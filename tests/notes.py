"""Callables for `progress` that collect events."""

from similar_images.index.tuning import CandidateEvent


class Notes(list):
    def __call__(self, event) -> None:
        if event.note:
            self.append(event.note)


class Candidates(list):
    """The metrics of candidates."""

    def __call__(self, event) -> None:
        if isinstance(event, CandidateEvent):
            self.append(event.metrics)
