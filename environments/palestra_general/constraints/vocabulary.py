"""What worked answers are made of: topics, plain sentences about them, and words to ask for."""

from __future__ import annotations

TOPICS = (
    *("rivers", "bicycles", "bread", "chess", "lighthouses", "volcanoes", "libraries", "trains"),
    *("bees", "bridges", "maps", "clocks", "gardens", "whales", "deserts", "violins", "windmills"),
    *("harbours", "forests", "kites", "markets", "mountains", "museums", "owls", "telescopes"),
)
ABOUT = (
    "Many people learn about {} at school.",
    "There is a long history behind {}.",
    "Some of the finest {} are found far from here.",
    "Every visitor who meets {} leaves with a smile.",
    "In old stories {} bring luck to the patient.",
    "A friend of mine writes letters about {}.",
    "The best time to think of {} is the morning.",
    "Nobody in our town has seen enough of {}.",
    "With care and time {} reward a curious mind.",
    "My teacher drew {} on the board each Monday.",
)
KEYWORDS = (
    *("amber", "anchor", "basket", "button", "candle", "carpet", "castle", "cotton", "cushion"),
    *("dolphin", "engine", "feather", "ginger", "hammer", "island", "jacket", "kettle", "ladder"),
    *("lantern", "lemon", "marble", "meadow", "mirror", "needle", "orchard", "oyster", "paper"),
    *("pebble", "pencil", "pepper", "pillow", "pocket", "puzzle", "rabbit", "ribbon", "saddle"),
    *("shadow", "silver", "spider", "sponge", "sugar", "temple", "thunder", "ticket", "timber"),
    *("turtle", "velvet", "violet", "walnut", "whistle", "willow", "window", "winter", "zipper"),
)
AVOIDED = (
    *("very", "really", "just", "good", "great", "always", "never", "because", "however"),
    *("important", "beautiful", "amazing", "actually", "basically", "interesting", "simply"),
)
OPENINGS = ("Dear reader", "Let me begin", "Once upon a time", "To be clear", "First of all")
CLOSINGS = (
    *("That is all for today.", "Thank you for reading.", "Nothing more needs saying."),
    *("And so it goes on.", "The rest is silence."),
)
ITEMS = ("colour", "form", "history", "place", "price", "season", "size", "sound", "weight")
IN_LANGUAGE = {
    "ar": ("Arabic", "هذا موضوع جميل يعرفه كثير من الناس. نتحدث عنه كل صباح في المدرسة."),
    "el": ("Greek", "Αυτό είναι ένα θέμα που γνωρίζουν πολλοί άνθρωποι. Μιλάμε γι' αυτό το πρωί."),
    "hi": ("Hindi", "यह एक ऐसा विषय है जिसे बहुत लोग जानते हैं। हम रोज़ सुबह इस पर बात करते हैं।"),
    "ja": ("Japanese", "これは多くの人が知っている話題です。私たちは毎朝これについて話します。"),
    "ko": (
        "Korean",
        "많은 사람들이 아는 주제입니다. 우리는 아침마다 이야기합니다.",
    ),
    "ru": ("Russian", "Это тема, которую знают очень многие люди. Мы говорим о ней каждое утро."),
    "zh": ("Chinese", "这是很多人都知道的话题。我们每天早上都会谈到它。"),
}
