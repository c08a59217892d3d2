//! Draws operations: all kinds, on few names, so that they meet each other's files.

use std::path::{Path, PathBuf};

use crate::perform::SLOTS;
use crate::words::encode;

/// The names that files get; some are odd. Mostly the first few are directories.
const NAMES: [&str; 11] = [
    "ash",
    "birch",
    "cedar",
    "fir",
    "hazel",
    "larch",
    "oak",
    "yew",
    "two words",
    "übermut",
    "\n%",
];
const DIRECTORIES: usize = 3;

/// A repeatable source of random numbers (SplitMix64).
#[derive(Debug)]
pub struct Dice {
    state: u64,
    base: PathBuf,
    /// How many of a hundred paths end with a directory's name.
    directories: u64,
}

impl Dice {
    /// Others for another seed.
    pub fn new(seed: u64, base: &Path) -> Self {
        Self {
            state: seed,
            base: base.to_owned(),
            directories: 0,
        }
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn pick(&mut self, among: &[&'static str]) -> &'static str {
        let count = u64::try_from(among.len()).expect("a few");
        let index = usize::try_from(self.below(count)).expect("a few");
        among[index]
    }

    fn slot(&mut self) -> u64 {
        self.below(u64::try_from(SLOTS).expect("a few"))
    }

    /// A name, now and then one as long as a name may be.
    fn name(&mut self) -> String {
        if self.below(60) == 0 {
            return "long".repeat(63) + "est";
        }
        self.pick(&NAMES).to_owned()
    }

    /// A name that mostly is a directory's.
    fn directory(&mut self) -> String {
        let often = self.below(5) > 0;
        let among = if often { &NAMES[..DIRECTORIES] } else { &NAMES };
        self.pick(among).to_owned()
    }

    /// A path with any of the ways to write it, as one word.
    fn path(&mut self) -> String {
        self.any_path(true)
    }

    /// One that is not relative to a held directory: some calls have no room for that.
    fn plain(&mut self) -> String {
        self.any_path(false)
    }

    fn any_path(&mut self, slots: bool) -> String {
        let mut path = match self.below(12) {
            0..2 => encode(&self.base) + "/",
            2 => "./".to_owned(),
            3 => "../".to_owned(),
            4 if slots => format!("@{}/", self.slot()),
            _ => String::new(),
        };
        for _ in 0..[0, 0, 0, 1, 1, 2, 3][usize::try_from(self.below(7)).expect("a few")] {
            path += &encode(Path::new(&self.directory()));
            path += self.pick(&["/", "/", "/", "/", "/", "//", "/./"]);
        }
        let name = if self.below(100) < self.directories {
            self.directory()
        } else {
            self.name()
        };
        path += &encode(Path::new(&name));
        match self.below(60) {
            0 => path.push('/'),
            1 => path += "/.",
            2 => path += "/..",
            _ => {}
        }
        path
    }

    fn length(&mut self) -> u64 {
        let most = [1, 10, 100, 5_000, 5_000, 40_000][usize::try_from(self.below(6)).expect("few")];
        self.below(most)
    }

    fn mode(&mut self) -> &'static str {
        self.pick(&[
            "600", "644", "755", "700", "4755", "2770", "1777", "444", "000", "111", "555",
        ])
    }

    /// The next operation, in words.
    pub fn operation(&mut self) -> String {
        let kind = self.below(100);
        self.directories = match kind {
            0..34 => 3,
            34..62 => 25,
            _ => 15,
        };
        match kind {
            0..34 => self.on_content(),
            34..42 => self.on_directories(),
            42..62 => self.on_names(),
            62..72 => self.on_properties(),
            72..78 => self.by_number(),
            _ => self.on_held(),
        }
    }

    fn on_directories(&mut self) -> String {
        self.directories = 80;
        let path = self.path();
        match self.below(9) {
            0..5 => {
                let mode = self.pick(&["755", "755", "700", "1777", "2755", "500"]);
                format!("mkdir {path} {mode}")
            }
            5 => format!("rmdir {path}"),
            6 => format!("clear {path}"),
            7 => format!("rename {path} {}", self.path()),
            _ => format!("deep {} {}", self.plain(), self.below(30)),
        }
    }

    fn on_content(&mut self) -> String {
        let (path, length, salt) = (self.path(), self.length(), self.below(1000));
        let at = self.below(20_000);
        match self.below(22) {
            0..4 => format!("create {path} {length} {salt}"),
            4..8 => format!("put {path} {length} {salt}"),
            8..11 => format!("over {path} {at} {length} {salt}"),
            11..15 => format!("append {path} {length} {salt}"),
            15 => format!("touch {path}"),
            16..18 => format!("truncate {} {at}", self.plain()),
            18 => {
                let how = self.pick(&["hole", "zero", "collapse", "more"]);
                let at = if how == "collapse" { 0 } else { at };
                let length = if how == "collapse" { 4096 } else { length + 1 };
                format!("allocate {path} {how} {at} {length}")
            }
            19..21 => format!("map {path} {} {length} {salt}", at % 4096),
            _ => format!("splice {path} {length} {salt}"),
        }
    }

    fn on_names(&mut self) -> String {
        let (path, other) = (self.path(), self.path());
        match self.below(42) {
            0..12 => format!("unlink {path}"),
            12..22 => format!("rename {path} {other}"),
            22..25 => format!("rename-exchange {path} {other}"),
            25..27 => format!("rename-noreplace {path} {other}"),
            27 => format!("rename-whiteout {path} {other}"),
            28..32 => format!("link {path} {other}"),
            32 => format!("link-target {path} {other}"),
            33..37 => {
                let target = match self.below(6) {
                    0 => "..".to_owned(),
                    1 => encode(&self.base),
                    2 => format!("../{}", encode(Path::new(&self.name()))),
                    _ => encode(Path::new(&self.name())),
                };
                format!("symlink {target} {path}")
            }
            37 => format!("fifo {} {}", self.plain(), self.mode()),
            38 => {
                let kind = self.pick(&["character", "block"]);
                format!("device {path} {kind} {} 3", self.pick(&["1", "240"]))
            }
            39 => format!("socket {}", self.plain()),
            40 => format!("rmdir {path}"),
            _ => format!("shell {}", self.plain()),
        }
    }

    fn on_properties(&mut self) -> String {
        let path = self.path();
        let (user, group) = (self.pick(&["0", "23456"]), self.pick(&["0", "23456"]));
        match self.below(14) {
            0..3 => format!("chmod {path} {}", self.mode()),
            3 => format!("fchmod {path} {}", self.mode()),
            4 => format!("chown {path} {user} {group}"),
            5 => format!("lchown {path} {user} {group}"),
            6..8 => format!(
                "times {path} {} {}",
                self.below(2_000_000_000),
                self.below(1 << 29)
            ),
            8 => format!("ltimes {path} {} 5", self.below(2_000_000_000)),
            9..11 => {
                let key = self.pick(&["user.first", "user.second"]);
                let (length, salt) = (self.below(300), self.below(1000));
                format!("attribute {} {key} {length} {salt}", self.plain())
            }
            11 => format!(
                "lattribute {} trusted.link 9 {}",
                self.plain(),
                self.below(1000)
            ),
            12 => format!("remove-attribute {} user.first", self.plain()),
            _ => {
                let which = self.pick(&["access", "access", "default"]);
                format!("acl {} {which} {}", self.plain(), self.below(3) + 1)
            }
        }
    }

    fn by_number(&mut self) -> String {
        let (path, other) = (self.plain(), self.plain());
        let (length, salt) = (self.length(), self.below(1000));
        match self.below(9) {
            0..2 => format!("raw-open {path} {length} {salt}"),
            2 => format!("raw-creat {path} {length} {salt}"),
            3 => format!("raw-beneath {path} {length} {salt}"),
            4 => format!("raw-rename {path} {other}"),
            5 => format!("raw-link {path} {other}"),
            6 => format!("raw-symlink {other} {path}"),
            7 => format!("raw-unlink {path}"),
            _ => format!("raw-rmdir {path}"),
        }
    }

    fn on_held(&mut self) -> String {
        let (slot, path) = (self.slot(), self.path());
        let (length, salt, at) = (self.length(), self.below(1000), self.below(20_000));
        match self.below(50) {
            0..12 => {
                let how = self.pick(&["r", "w", "wa", "b", "bc", "bac", "bt", "wtc"]);
                format!("hold {slot} {path} {how}")
            }
            12..14 => format!("hold-temporary {slot} ."),
            14..17 => format!("hold-directory {slot} {path}"),
            17 => format!("release {slot}"),
            18..21 => format!("chdir {path}"),
            21..24 => "chdir base".to_owned(),
            24 => format!("fchdir {slot}"),
            25 => format!("umask {}", self.pick(&["022", "022", "077", "002", "000"])),
            26..31 => format!("held-write {slot} {length} {salt}"),
            31..34 => format!("held-over {slot} {at} {length} {salt}"),
            34..36 => format!("held-map {slot} {} {length} {salt}", at % 4096),
            36 => format!("held-splice {slot} {length} {salt}"),
            37..39 => format!("held-seek {slot} {at}"),
            39 => format!("held-truncate {slot} {at}"),
            40 => format!("held-append {slot} {}", self.pick(&["on", "off"])),
            41 => format!("held-sync {slot}"),
            42 => format!("held-chmod {slot} {}", self.mode()),
            43 => format!("held-chown {slot} {} 0", self.pick(&["0", "23456"])),
            44 => format!("held-times {slot} {} 7", self.below(2_000_000_000)),
            45 => format!("held-attribute {slot} {} {salt}", self.below(100)),
            46 => format!("held-link {slot} {path}"),
            47 => format!("held-reopen {slot} {length} {salt}"),
            48 => format!("held-copy {slot} {} {length}", self.slot()),
            _ => format!("held-send {slot} {} {length}", self.slot()),
        }
    }
}
