//! The pages that people read under stress, as a test reads them: blocks of commands, and commands within the text.

use std::path::Path;

/// One block of commands, and whose shell it is for.
pub struct Block {
    pub who: String,
    pub commands: String,
}

/// A page of operations.
pub struct Page(String);

impl Page {
    pub fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations").join(name);
        Self(std::fs::read_to_string(path).unwrap())
    }

    /// The blocks that begin with "```sh WHO". Whoever is to type something is somebody.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut lines = self.0.lines();
        while let Some(line) = lines.next() {
            let Some(language) = line.strip_prefix("```") else { continue };
            let commands = lines
                .by_ref()
                .take_while(|line| *line != "```")
                .fold(String::new(), |all, line| all + line + "\n");
            match language.split_once(' ') {
                Some(("sh", who)) => blocks.push(Block { who: who.to_owned(), commands }),
                _ => assert_eq!(language, "toml", "nobody runs this: {commands}"),
            }
        }
        blocks
    }

    /// What stands as a command of ours within the text. What is left out of it (`…`) is left out here.
    pub fn commands(&self) -> Vec<String> {
        let mut fenced = false;
        let text = self.0.lines().filter(|line| {
            let fence = line.starts_with("```");
            fenced ^= fence;
            !fence && !fenced
        });
        let text = text.collect::<Vec<_>>().join(" ");
        let spans = text.split('`').skip(1).step_by(2);
        let ours = spans.filter(|span| span.starts_with("hotwork ") || span.starts_with("hotworkd "));
        ours.map(|span| span.replace(" …", "")).collect()
    }
}

/// Whether a command can be typed as it stands: nothing in it stands for something else, and it is no mere name of one.
pub fn is_whole(command: &str) -> bool {
    let stands_for =
        |word: &str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    !command.split_whitespace().any(stands_for)
}
