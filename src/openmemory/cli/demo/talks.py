"""What the demo's two companies have told their assistants: the same subjects, other answers."""

from dataclasses import dataclass

QUESTIONS = (
    "When is our launch?",
    "What is the wifi password?",
    "What is Sam allergic to?",
    "When is the company anniversary?",
)


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation: its name, its day, and its turns, each "Speaker: what was said"."""

    session: str
    day: str
    turns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Company:
    """A tenant of the demo."""

    name: str
    title: str
    talks: tuple[Talk, ...]


KESTREL = Company(
    "kestrel",
    "Kestrel Coffee, a roastery",
    (
        Talk(
            "planning",
            "2026-03-02",
            (
                "Mira: Morning! I finally tasted the last batch of the cold brew, and it is ready.",
                "Sam: Great, then we can fix the day. The launch of the cold brew is on 12 May, at the harbour market.",
                "Mira: That gives us ten weeks. Who prints the labels?",
                "Sam: The Osterman print shop. They need the artwork three weeks ahead.",
                "Mira: I will ask Dana for the artwork then, she drew the last ones too.",
                "Sam: One more thing, the budget for the stand is 1,400 euros.",
                "Mira: That is tight, but fine without the second grinder.",
            ),
        ),
        Talk(
            "new-shop",
            "2026-03-09",
            (
                "Dana: I am sitting in the new shop and cannot get online.",
                "Mira: The wifi password there is crema-and-copper-41.",
                "Dana: Thanks, works. The espresso machine arrives on Thursday at nine.",
                "Mira: I will open for them, my train is in at half past eight.",
                "Dana: And the sign above the door?",
                "Mira: Still with the painter, she has promised it for Monday.",
            ),
        ),
        Talk(
            "supper",
            "2026-03-20",
            (
                "Dana: I am ordering food for the tasting evening. Anything people cannot eat?",
                "Mira: Careful with Sam: he is allergic to hazelnuts, even traces.",
                "Dana: Then no praline. I take the lemon cake.",
                "Sam: Thank you! I once spent a night in hospital because of a nougat.",
                "Mira: Let us do it on our company anniversary, 3 April. Kestrel turns seven.",
                "Dana: Lovely, seven candles on a lemon cake.",
                "Sam: I bring the good gramophone.",
            ),
        ),
    ),
)

LARKSPUR = Company(
    "larkspur",
    "Larkspur Studio, makers of an app",
    (
        Talk(
            "release",
            "2026-03-03",
            (
                "Jonas: The store has approved version two of the tide calendar.",
                "Priya: Wonderful. So the launch stays where it was: Tuesday, 9 June, at noon.",
                "Jonas: Do we tell the newspapers before?",
                "Priya: One week before, with the film that Sam is cutting.",
                "Sam: The film will be done by the end of May. It still lacks music.",
                "Jonas: My sister plays the harp, should I ask her?",
                "Priya: Yes! And the price stays at four euros a year.",
            ),
        ),
        Talk(
            "office",
            "2026-03-11",
            (
                "Sam: A guest is here and wants to get online. What do I tell her?",
                "Jonas: The wifi password for guests is gullwing-seven-lanterns.",
                "Sam: Thanks. And the heating in the small room is out again.",
                "Priya: The caretaker comes on Friday morning, he has the part.",
                "Jonas: Until then take the fan heater from the cellar.",
                "Priya: The new desks come on the 25th, by the way.",
                "Sam: Do we keep the round table?",
                "Priya: Of course, where else would we have soup?",
            ),
        ),
        Talk(
            "outing",
            "2026-03-24",
            (
                "Priya: I am booking the restaurant for our outing. Who cannot eat what?",
                "Jonas: I eat everything, but Sam is allergic to shellfish.",
                "Sam: Prawns above all. Mussels are no fun either.",
                "Priya: Then not the fish place, but the trattoria by the lock.",
                "Jonas: Is it for the anniversary? The company anniversary is on 21 September, we turn four.",
                "Priya: No, that one we celebrate on the boat, as always.",
                "Sam: I still have the flag from last year.",
            ),
        ),
    ),
)
