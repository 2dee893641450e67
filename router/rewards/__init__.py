"""What an answer and a conversation were worth: checks, signals, the judge, and the reward made of them.

Floor 1, pure: text and records go in, numbers come out. Who fetches, stores and decides is elsewhere.

reward        the reward of a matured conversation, and its guardrails
answer_rules  all that is looked for under one policy; signals, by which a conversation tells how its answers were
checks        the tests of answers that instructions carry, and which instructions a model obeys
judge         what a model is asked that judges answers, and how its reply is read
text          what is asked of a text: patterns, phrases, words, sentences

Three rules hold in all of them. A reward is in [0, 1], 1 being good, and a guardrail in [0, 1], 1 being bad. The words
of users and answers are looked at and dropped: no record made here holds any of them. Nothing depends on the order in
which rows are handed in, only on when they were received.
"""

from router.rewards.answer_rules import PolicyAnswerRules
from router.rewards.reward import reward_of

__all__ = ["PolicyAnswerRules", "reward_of"]
