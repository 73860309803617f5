//! Envoy's shared data as a table: a reset looks at 69,633 names, nearly all of them vacant.

use std::cell::RefCell;

use session_guard_core::shared::{Expect, SharedData, Stored, Version};

#[derive(Clone)]
pub(super) struct Memory(RefCell<Cells>);

#[derive(Clone)]
struct Cells {
    /// Where the value of a name is among the stored, counted from 1; 0 where there is none.
    places: Box<[u16]>,
    stored: Vec<Stored>,
    writes: u32,
}

impl Memory {
    pub(super) fn new() -> Self {
        let places = vec![0; NAMES].into_boxed_slice();
        Self(RefCell::new(Cells { places, stored: Vec::new(), writes: 0 }))
    }
}

impl SharedData for Memory {
    fn get(&self, key: &str) -> Option<Stored> {
        let cells = self.0.borrow();
        match cells.places[number(key)] {
            0 => None,
            place => Some(cells.stored[usize::from(place) - 1].clone()),
        }
    }

    fn set_if(&self, key: &str, value: &[u8], expect: Expect) -> bool {
        let cells = &mut *self.0.borrow_mut();
        let place = &mut cells.places[number(key)];
        let found = cells.stored.get_mut(usize::from(*place).wrapping_sub(1));
        let admitted = match expect {
            Expect::Absent => found.is_none(),
            Expect::At(version) => found.as_ref().is_some_and(|found| found.version == version),
            Expect::Anything => true,
        };
        if admitted {
            cells.writes += 1;
            let stored = Stored { value: value.to_vec(), version: Version(cells.writes) };
            match found {
                Some(found) => *found = stored,
                None => {
                    cells.stored.push(stored);
                    *place = u16::try_from(cells.stored.len()).expect("few names are in use");
                }
            }
        }
        admitted
    }
}

/// The number of a name; every process of a simulation follows one feed.
fn number(key: &str) -> usize {
    let hex = |digits: &[u8]| {
        let value =
            |digit| usize::from(if digit < b'a' { digit - b'0' } else { digit - b'a' + 10 });
        digits.iter().fold(0, |number, &digit| number << 4 | value(digit))
    };
    match key.as_bytes().get(PREFIX_BYTES..).unwrap_or(key.as_bytes()) {
        [b't', digits @ ..] => hex(digits),
        b"all" => USERS - 1,
        b"gen" => USERS - 2,
        b"feed" => USERS - 3,
        b"lease" => USERS - 4,
        b"whole" => USERS - 5,
        b"session-guard/1/feeds" => USERS - 6,
        [b's', digits @ ..] => STRIPES + hex(digits),
        [b'o', b'u', b't', digits @ ..] => OUTBOX + hex(digits),
        [b'u', digits @ ..] => USERS + hex(digits),
        name => panic!("{name:?} is new"),
    }
}

const PREFIX_BYTES: usize = "session-guard/2/0123456789abcdef/".len();
const OUTBOX: usize = 0x1_0000;
const USERS: usize = OUTBOX + 0x100 + 6;
const STRIPES: usize = USERS + 0x1000;
const NAMES: usize = STRIPES + 0x400;
