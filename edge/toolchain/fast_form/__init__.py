"""The fast form of a run: its judgement, distilled into one small head on a shorter backbone."""
