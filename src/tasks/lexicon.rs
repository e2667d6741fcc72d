//! What a genre says of a film, where the catalogue says nothing more.
//!
//! MovieLens knows genres, a year and now and then a tag. The words here are plausible for most films of a genre and
//! name no person, place or event.

/// The words of a genre.
#[derive(Debug)]
pub(super) struct Words {
    /// The genre in lower case, as in MovieLens.
    pub genre: &'static str,
    /// Before "film".
    pub kind: &'static str,
    /// An adjective.
    pub mood: &'static str,
    /// After "about".
    pub theme: &'static str,
    /// After "It shows".
    pub story: &'static str,
    /// After "The pace is".
    pub pace: &'static str,
    /// After "Praised for".
    pub strengths: [&'static str; 3],
    /// After "Criticised for".
    pub weaknesses: [&'static str; 3],
    /// Clauses after "To make it funnier, sadder, scarier,".
    pub turns: [&'static str; 3],
}

/// The words of a genre, by its name in any case; `None` for one that is not in MovieLens.
pub(super) fn words(genre: &str) -> Option<&'static Words> {
    GENRES
        .iter()
        .find(|words| words.genre.eq_ignore_ascii_case(genre))
}

/// The words of a film without a known genre.
pub(super) const GENERIC: Words = Words {
    genre: "",
    kind: "",
    mood: "unusual",
    theme: "ordinary people",
    story: "people and their days",
    pace: "steady",
    strengths: ["a clear story", "good acting", "careful pictures"],
    weaknesses: ["a slow middle", "plain music", "a weak ending"],
    turns: [
        "everyone could slip on the same stair",
        "everyone could say goodbye for ever",
        "a stranger could stand behind every door",
    ],
};

/// Strengths that any film can have; decades differ in where they start.
pub(super) const MORE_STRENGTHS: [&str; 7] = [
    "good acting",
    "fine music",
    "a clear story",
    "strong pictures",
    "a good ending",
    "lively dialogue",
    "careful editing",
];

/// Weaknesses that any film can have; decades differ in where they start.
pub(super) const MORE_WEAKNESSES: [&str; 7] = [
    "a slow middle",
    "plain music",
    "a long running time",
    "weak side roles",
    "an easy ending",
    "flat dialogue",
    "loose editing",
];

const GENRES: &[Words] = &[
    Words {
        genre: "action",
        kind: "action",
        mood: "energetic",
        theme: "a dangerous chase",
        story: "fighters in a race against time",
        pace: "fast",
        strengths: ["thrilling stunts", "strong fights", "constant energy"],
        weaknesses: ["thin characters", "too much noise", "little story"],
        turns: [
            "every chase could end in a cake shop",
            "the fighter could lose a close friend",
            "the hunter could stay unseen",
        ],
    },
    Words {
        genre: "adventure",
        kind: "adventure",
        mood: "bold",
        theme: "a long journey",
        story: "travellers on a long road",
        pace: "brisk",
        strengths: ["grand landscapes", "a sense of wonder", "brave heroes"],
        weaknesses: ["a predictable quest", "too many stops", "a thin plot"],
        turns: [
            "the map could be upside down",
            "the journey could end without a way home",
            "something could follow through the jungle",
        ],
    },
    Words {
        genre: "animation",
        kind: "animated",
        mood: "bright",
        theme: "a world of drawings",
        story: "drawn heroes in a bright world",
        pace: "quick",
        strengths: ["beautiful drawings", "lively colours", "expressive faces"],
        weaknesses: ["stiff movement", "a simple look", "thin side roles"],
        turns: [
            "the animals could argue about lunch",
            "the colours could slowly fade",
            "the toys could whisper at night",
        ],
    },
    Words {
        genre: "children",
        kind: "children's",
        mood: "gentle",
        theme: "growing up",
        story: "young heroes and their friends",
        pace: "lively",
        strengths: ["a kind heart", "clear lessons", "gentle humour"],
        weaknesses: ["little for adults", "a simple plot", "too much sweetness"],
        turns: [
            "the adults could act like babies",
            "the child could lose a beloved pet",
            "the school could wake up after dark",
        ],
    },
    Words {
        genre: "comedy",
        kind: "comedy",
        mood: "funny",
        theme: "silly mishaps",
        story: "people who stumble from joke to joke",
        pace: "quick",
        strengths: ["sharp jokes", "perfect timing", "a playful cast"],
        weaknesses: ["uneven jokes", "silly scenes", "a weak ending"],
        turns: [
            "the jokes could come twice as fast",
            "the laughter could hide a lonely heart",
            "the laughter could come from an empty room",
        ],
    },
    Words {
        genre: "crime",
        kind: "crime",
        mood: "gritty",
        theme: "the price of crime",
        story: "thieves and the police on their trail",
        pace: "tight",
        strengths: ["a clever plot", "gritty streets", "hard dialogue"],
        weaknesses: ["cold characters", "a tangled plot", "too much violence"],
        turns: [
            "the thieves could forget the money",
            "the thief could lose a family",
            "the killer could know every name",
        ],
    },
    Words {
        genre: "documentary",
        kind: "documentary",
        mood: "honest",
        theme: "real lives",
        story: "real people in their own words",
        pace: "calm",
        strengths: ["honest interviews", "rare pictures", "careful research"],
        weaknesses: ["a dry voice", "too many facts", "a narrow view"],
        turns: [
            "the narrator could get everything wrong",
            "the last interview could be a farewell",
            "the camera could record a stranger at night",
        ],
    },
    Words {
        genre: "drama",
        kind: "drama",
        mood: "moving",
        theme: "hard choices",
        story: "a family at a turning point",
        pace: "patient",
        strengths: ["deep characters", "honest feeling", "fine acting"],
        weaknesses: ["slow scenes", "heavy speeches", "a sad mood"],
        turns: [
            "the serious talks could end in hiccups",
            "the family could part for ever",
            "the house could hide a locked room",
        ],
    },
    Words {
        genre: "fantasy",
        kind: "fantasy",
        mood: "magical",
        theme: "old magic",
        story: "heroes in a land of magic",
        pace: "flowing",
        strengths: ["a rich world", "magical images", "strange creatures"],
        weaknesses: ["confusing rules", "borrowed ideas", "too many names"],
        turns: [
            "the spells could turn hats into ducks",
            "the magic could die at the end",
            "the old magic could demand a price in blood",
        ],
    },
    Words {
        genre: "film-noir",
        kind: "noir",
        mood: "dark",
        theme: "betrayal",
        story: "a detective in a city of lies",
        pace: "smoky",
        strengths: ["deep shadows", "bitter wit", "a stylish look"],
        weaknesses: ["a bleak view", "a knotty plot", "cold lovers"],
        turns: [
            "the detective could trip over a shadow",
            "the detective could lose the only friend",
            "the shadows could move by themselves",
        ],
    },
    Words {
        genre: "horror",
        kind: "horror",
        mood: "frightening",
        theme: "fear of the dark",
        story: "people hunted in the night",
        pace: "creeping",
        strengths: ["real scares", "a chilling mood", "clever tension"],
        weaknesses: ["cheap shocks", "foolish choices", "too much blood"],
        turns: [
            "the monster could be afraid of mice",
            "the survivor could be left alone",
            "the monster could stay out of sight",
        ],
    },
    Words {
        genre: "imax",
        kind: "large-screen",
        mood: "huge",
        theme: "giant pictures",
        story: "sights on a giant scale",
        pace: "grand",
        strengths: ["huge images", "clear sound", "wide views"],
        weaknesses: ["little depth", "loud sound", "a short story"],
        turns: [
            "the giant screen could show the wrong film",
            "the giant screen could go dark",
            "the sound could come from behind",
        ],
    },
    Words {
        genre: "musical",
        kind: "musical",
        mood: "joyful",
        theme: "song and dance",
        story: "singers who chase a dream",
        pace: "rhythmic",
        strengths: ["memorable songs", "graceful dances", "bright costumes"],
        weaknesses: ["too many songs", "a thin story", "long numbers"],
        turns: [
            "the singers could forget the words",
            "the last song could be a farewell",
            "the music could play in an empty hall",
        ],
    },
    Words {
        genre: "mystery",
        kind: "mystery",
        mood: "puzzling",
        theme: "a hidden secret",
        story: "a riddle and those who try to solve it",
        pace: "careful",
        strengths: ["clever clues", "a surprising answer", "patient suspense"],
        weaknesses: ["an unfair answer", "loose threads", "a slow start"],
        turns: [
            "the clues could all point to the cat",
            "the answer could break every heart",
            "the dead could send the clues",
        ],
    },
    Words {
        genre: "romance",
        kind: "romance",
        mood: "tender",
        theme: "love",
        story: "two people who find each other",
        pace: "soft",
        strengths: ["tender chemistry", "sweet dialogue", "a warm heart"],
        weaknesses: ["easy tears", "an obvious ending", "empty rivals"],
        turns: [
            "the love letters could reach the wrong house",
            "the lovers could part for good",
            "a stranger could watch the lovers",
        ],
    },
    Words {
        genre: "sci-fi",
        kind: "sci-fi",
        mood: "inventive",
        theme: "the future",
        story: "people in a strange new world",
        pace: "restless",
        strengths: ["bold ideas", "inventive machines", "a striking future"],
        weaknesses: ["confusing science", "cold people", "dated effects"],
        turns: [
            "the robots could tell bad jokes",
            "the last ship could leave too early",
            "the machines could wake up at night",
        ],
    },
    Words {
        genre: "thriller",
        kind: "thriller",
        mood: "tense",
        theme: "growing danger",
        story: "someone with a deadly secret",
        pace: "tight",
        strengths: ["constant suspense", "sharp twists", "a tense ending"],
        weaknesses: ["unlikely twists", "rushed scenes", "flat heroes"],
        turns: [
            "the bomb could play dance music",
            "the rescue could come too late",
            "the phone could ring inside the house",
        ],
    },
    Words {
        genre: "war",
        kind: "war",
        mood: "harrowing",
        theme: "survival in war",
        story: "soldiers far from home",
        pace: "relentless",
        strengths: ["powerful battles", "real courage", "careful history"],
        weaknesses: ["hard scenes", "too much smoke", "distant soldiers"],
        turns: [
            "the general could lose his trousers",
            "the letter could come home alone",
            "the enemy could wait in the fog",
        ],
    },
    Words {
        genre: "western",
        kind: "western",
        mood: "rugged",
        theme: "the frontier",
        story: "riders on the open plain",
        pace: "unhurried",
        strengths: ["wide plains", "quiet heroes", "great duels"],
        weaknesses: ["old habits", "slow rides", "simple villains"],
        turns: [
            "the horses could refuse to run",
            "the old horse could die in the desert",
            "the ghost town could be awake",
        ],
    },
];
