//! Values of parameters that come ahead of an execution (`COM_STMT_SEND_LONG_DATA`): what an approval binds of them, and
//! what people are shown.
use doorward_enforce::{MOST_SHOWN, NotShown, shown};
use doorward_sql_session::LONGEST_MASK;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// How much of such values a session may still keep to be shown, in bytes.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(MOST_SHOWN)
    }
}

#[derive(Debug, Default)]
struct Value {
    digest: Sha256,
    length: usize,
    /// It, unless there was no room for it.
    kept: Option<Vec<u8>>,
}

/// The values that came ahead for one statement, by their parameters.
#[derive(Debug, Default)]
pub(super) struct Ahead(BTreeMap<u16, Value>);

impl Ahead {
    /// More of a value.
    pub(super) fn add(&mut self, parameter: u16, data: &[u8], room: &mut Room) {
        let begun = || Value { kept: Some(Vec::new()), ..Value::default() };
        let value = self.0.entry(parameter).or_insert_with(begun);
        value.digest.update(data);
        value.length = value.length.saturating_add(data.len());
        match (&mut value.kept, room.0.checked_sub(data.len())) {
            (Some(kept), Some(left)) => {
                kept.extend_from_slice(data);
                room.0 = left;
            }
            (kept @ Some(_), None) => room.0 += kept.take().map_or(0, |kept| kept.len()),
            (None, _) => {}
        }
    }

    /// Forgets them, as the upstream does with an execution. True where there were any.
    pub(super) fn clear(&mut self, room: &mut Room) -> bool {
        let all = std::mem::take(&mut self.0);
        room.0 += all.values().filter_map(|v| v.kept.as_ref()).map(Vec::len).sum::<usize>();
        !all.is_empty()
    }

    /// Which parameters came ahead.
    pub(super) fn parameters(&self) -> Vec<u16> {
        self.0.keys().copied().collect()
    }

    /// What an approval binds of them.
    pub(super) fn bind(&self, out: &mut Vec<u8>) {
        for (parameter, value) in &self.0 {
            out.extend(parameter.to_le_bytes());
            out.extend(value.digest.clone().finalize());
        }
    }

    /// A value that is short enough to be a mask; none where it is longer.
    ///
    /// # Errors
    /// It is as short, and there was no room to keep it.
    pub(super) fn short(&self, parameter: u16) -> Result<Option<&[u8]>, ()> {
        match self.0.get(&parameter) {
            Some(Value { length, .. }) if *length > LONGEST_MASK => Ok(None),
            Some(Value { kept: Some(kept), .. }) => Ok(Some(kept)),
            Some(Value { kept: None, .. }) => Err(()),
            None => Ok(None),
        }
    }

    /// A value, whole.
    pub(super) fn shown(&self, parameter: u16) -> Result<String, NotShown> {
        match self.0.get(&parameter) {
            Some(Value { kept: Some(kept), .. }) => Ok(shown::bytes(kept)),
            Some(Value { length, .. }) => Err(NotShown::too_long("a value that was sent ahead", *length)),
            None => Err(NotShown::too_long("a value that was sent ahead", 0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_is_kept_of_all_and_what_is_not_is_not_shown_in_part() {
        let (mut room, mut one, mut two) = (Room::default(), Ahead::default(), Ahead::default());
        one.add(0, b"ab", &mut room);
        one.add(0, b"c", &mut room);
        two.add(3, &vec![b'x'; MOST_SHOWN - 3], &mut room);
        assert_eq!((one.shown(0).unwrap().as_str(), room.0), ("abc", 0));
        assert!(two.shown(3).is_ok());
        two.add(3, b"x", &mut room);
        assert!(two.shown(3).unwrap_err().what.contains("1048574 bytes"), "{:?}", two.shown(3));
        assert_eq!(room.0, MOST_SHOWN - 3, "its room is for others");
        two.add(3, b"x", &mut room);
        assert!(two.shown(3).is_err(), "what has a gap stays unshown");
        assert_eq!((one.short(0), two.short(3), two.short(4)), (Ok(Some(&b"abc"[..])), Ok(None), Ok(None)));
        let mut none = Room(0);
        let mut late = Ahead::default();
        late.add(0, b"[ssn]", &mut none);
        assert_eq!(late.short(0), Err(()), "it may be a mask");
        assert!(one.clear(&mut room) && two.clear(&mut room) && !two.clear(&mut room));
        assert_eq!(room.0, MOST_SHOWN);
        assert!(one.shown(0).is_err());
    }

    #[test]
    fn a_value_is_bound_to_its_parameter() {
        let bound = |parameter, data: &[&[u8]]| {
            let (mut room, mut ahead, mut out) = (Room::default(), Ahead::default(), Vec::new());
            data.iter().for_each(|d| ahead.add(parameter, d, &mut room));
            ahead.bind(&mut out);
            out
        };
        assert_eq!(bound(1, &[b"ab"]), bound(1, &[b"a", b"b"]), "however it is cut");
        assert_ne!(bound(1, &[b"ab"]), bound(2, &[b"ab"]));
        assert_ne!(bound(1, &[b"ab"]), bound(1, &[b"aB"]));
    }
}
