//! Shared data as lookup tables. A reset reads 69,633 names, nearly all of which do not exist, so a
//! hash map of strings would be slow.

use std::cell::RefCell;

use session_guard_core::shared::{Expect, SharedData, Stored, Version};

#[derive(Clone)]
pub(super) struct Memory(RefCell<Cells>);

#[derive(Clone)]
struct Cells {
    /// For each key space, by its prefix: a table that maps the number of a name to the position of
    /// its value in `stored`, counted from 1. The position is 0 if there is no value.
    spaces: Vec<(String, Box<[u16]>)>,
    stored: Vec<Stored>,
    writes: u32,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self(RefCell::new(Cells { spaces: Vec::new(), stored: Vec::new(), writes: 0 }))
    }
}

impl Cells {
    fn find(&self, key: &str) -> Option<&Stored> {
        let (prefix, number) = split(key);
        let (_, positions) = self.spaces.iter().find(|(known, _)| known == prefix)?;
        self.stored.get(usize::from(positions[number]).wrapping_sub(1))
    }

    fn position(&mut self, key: &str) -> &mut u16 {
        let (prefix, number) = split(key);
        let known = self.spaces.iter().position(|(known, _)| known == prefix);
        let at = known.unwrap_or_else(|| {
            self.spaces.push((prefix.to_owned(), vec![0; NAMES].into_boxed_slice()));
            self.spaces.len() - 1
        });
        &mut self.spaces[at].1[number]
    }
}

impl SharedData for Memory {
    fn get(&self, key: &str) -> Option<Stored> {
        self.0.borrow().find(key).cloned()
    }

    fn version(&self, key: &str) -> Option<Version> {
        self.0.borrow().find(key).map(|stored| stored.version)
    }

    fn set_if(&self, key: &str, value: &[u8], expect: Expect) -> bool {
        let cells = &mut *self.0.borrow_mut();
        let found = cells.find(key).map(|stored| stored.version);
        let admitted = match expect {
            Expect::Absent => found.is_none(),
            Expect::At(version) => found == Some(version),
            Expect::Anything => true,
        };
        if admitted {
            cells.writes += 1;
            let stored = Stored { value: value.to_vec(), version: Version(cells.writes) };
            let last = u16::try_from(cells.stored.len() + 1).expect("few names are in use");
            match cells.position(key) {
                0 => {
                    *cells.position(key) = last;
                    cells.stored.push(stored);
                }
                &mut at => cells.stored[usize::from(at) - 1] = stored,
            }
        }
        admitted
    }
}

/// Splits a name into its prefix and a number for the rest.
fn split(key: &str) -> (&str, usize) {
    let hex = |digits: &[u8]| {
        let value =
            |digit| usize::from(if digit < b'a' { digit - b'0' } else { digit - b'a' + 10 });
        digits.iter().fold(0, |number, &digit| number << 4 | value(digit))
    };
    let (prefix, name) = key.split_at_checked(PREFIX_BYTES).unwrap_or(("", key));
    match name.as_bytes() {
        [b't', digits @ ..] => (prefix, hex(digits)),
        b"all" => (prefix, USERS - 1),
        b"gen" => (prefix, USERS - 2),
        b"feed" => (prefix, USERS - 3),
        b"lease" => (prefix, USERS - 4),
        b"whole" => (prefix, USERS - 5),
        // These two names belong to no feed. They are stored with the first feed.
        b"session-guard/1/feeds" => (FIRST, USERS - 6),
        b"feeds" => (FIRST, USERS - 7),
        [b's', digits @ ..] => (prefix, STRIPES + hex(digits)),
        [b'o', b'u', b't', digits @ ..] => (prefix, OUTBOX + hex(digits)),
        [b'u', digits @ ..] => (prefix, USERS + hex(digits)),
        name => panic!("{name:?} is new"),
    }
}

const PREFIX_BYTES: usize = "session-guard/2/0123456789abcdef/".len();
const FIRST: &str = "session-guard/2/e6a83fb1a207a15e/"; // of the feed "signout"
const OUTBOX: usize = 0x1_0000;
const USERS: usize = OUTBOX + 0x100 + 7;
const STRIPES: usize = USERS + 0x1000;
const NAMES: usize = STRIPES + 0x400;
