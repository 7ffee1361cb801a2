//! Masks a stream while it flows: a terminal, or what a program writes.
//!
//! The stream is taken apart into segments that are looked at one by one: lines, and parts of lines that are
//! longer than [`LONGEST_SEGMENT`]. Where segments end depends on the bytes alone, never on how they come in.
//! What was let through is remembered (1 KiB of visible bytes of the line), so that a value that began there
//! is known and the rest of it masked.
//!
//! INVARIANT: bytes of a value go out only where it was not known to be one: in a text given to
//! [`StreamMasker::push`] and [`StreamMasker::finish`] alone, no value of a line is shown even in part, but for
//! single values longer than half a segment.
mod context;
mod controls;
mod hold;
mod key;
mod reading;
mod screen;
mod skim;
mod spans;

use crate::{Detector, Finding, Hint, Masker, TypeSet, chance, secrets, spots::Spot};
use context::Context;
use doorward_model::{DataType, Operator};
use key::KeyBlock;
use screen::{Screen, is_plain};
use skim::{Line, Skim};
use spans::{Spans, Value};
use std::sync::Arc;

/// The longest segment, in raw bytes, and thus the most that is kept back.
const LONGEST_SEGMENT: usize = 8 * 1024;
/// Of a segment that is cut, what is behind the cut at least: the longest number or IBAN.
const BEHIND_CUT: usize = 64;
/// What is looked at as a whole, of whole lines: what is worked on stays in the caches of a core.
const BLOCK: usize = 8 * 1024;

/// Why a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A line end, or the end of the stream.
    Closed,
    /// It is as long as a segment gets.
    Full,
    /// A pause.
    Pause,
    /// A long pause.
    Overdue,
}

/// Masks a byte stream as it flows.
///
/// | call | when | what goes out |
/// |---|---|---|
/// | [`push`](Self::push) | bytes come | all whole lines, masked |
/// | [`flush`](Self::flush) | nothing came for some ms | the begun line, but for an end that can be the beginning of a value |
/// | [`force`](Self::force) | nothing came for half a second | that too, with what it is by now masked |
/// | [`finish`](Self::finish) | the stream ends | the rest |
///
/// What can be the beginning of a value, at a pause: more than three digits in a number, a `+` and a digit, a
/// word and `@` up to what cannot be of a domain, a prefix that issuers gave their keys (`ghp_`, `eyJ`), a
/// country and two digits of an IBAN, two colons among hexadecimal digits. Of a value that is typed slowly, the
/// part before that is shown: three digits of a card, the local part of an address. After `force`, what was
/// there of a value that was not one yet is shown too. The rest of it is replaced by its marker all the same,
/// as soon as it is a value together with what was shown.
///
/// Escape sequences are not part of the text: a value with colours in it is found. Those within it stand after
/// what replaces it; control strings (titles) and control characters within it are dropped. The text of control
/// strings is masked by itself.
///
/// A private key is dropped from its first line to its last. A line that cannot be of it (a prompt after
/// `head -1`) is shown; for some lines more, what looks like the body of a key is dropped too.
///
/// Short e-mail and IP addresses amid bytes that are no text are left: what is compressed or encrypted has some by
/// chance, and would be another file without them.
///
/// Not found: a value that is cut by a line end (but for private keys), by a sequence longer than 1 KiB, or by a
/// shell that breaks a line of input at the edge of the terminal; words that say what a number is on the line
/// after it.
pub struct StreamMasker {
    detector: Arc<Detector>,
    masker: Arc<Masker>,
    rules: Arc<[(DataType, Operator)]>,
    wanted: TypeSet,
    /// The segment that comes in.
    pending: Vec<u8>,
    /// Visible bytes that went out last.
    context: Context,
    /// A private key is passing.
    key: Option<KeyBlock>,
    /// Lines until a key is forgotten that another line has broken off.
    lapsing: u8,
    /// What went out last was masked.
    after_mask: bool,
    /// What went out last was a token that may go on.
    token: Option<DataType>,
    skim: Skim,
    screen: Screen,
    spans: Spans,
    /// Of the line that is being looked at.
    spots: Vec<Spot>,
    /// The spots of the segment to come are known.
    spotted: bool,
    found: Vec<Finding>,
}

impl std::fmt::Debug for StreamMasker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamMasker").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

/// How much of the bytes are whole lines that are no longer than a segment.
fn whole_lines(bytes: &[u8]) -> usize {
    let mut whole = 0;
    while let Some(rest) = bytes.get(whole..) {
        let window = rest.get(..LONGEST_SEGMENT).unwrap_or(rest);
        match memchr::memrchr(b'\n', window) {
            Some(last) => whole += last + 1,
            None => break,
        }
    }
    whole
}

impl StreamMasker {
    /// A masker of one stream. Only types that `rules` names are masked; without any, bytes pass as they are.
    pub fn new(detector: Arc<Detector>, masker: Arc<Masker>, rules: Arc<[(DataType, Operator)]>) -> Self {
        Self {
            detector,
            masker,
            wanted: rules.iter().map(|(t, _)| *t).collect(),
            rules,
            pending: Vec::new(),
            context: Context::default(),
            key: None,
            lapsing: 0,
            after_mask: false,
            token: None,
            skim: Skim::default(),
            screen: Screen::default(),
            spans: Spans::default(),
            spots: Vec::new(),
            spotted: false,
            found: Vec::new(),
        }
    }

    /// Takes bytes, and appends what may go.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.wanted.is_empty() {
            return out.extend_from_slice(bytes);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.pending.is_empty() && self.context.at_line_start() {
                let (lines, after) = rest.split_at(whole_lines(rest));
                self.lines(lines, out);
                rest = after;
            }
            rest = self.gather(rest, out);
        }
    }

    /// Bytes that are kept back; 8 KiB at most.
    pub fn hold_back(&self) -> usize {
        self.pending.len()
    }

    /// A pause: gives out all but what may be the beginning of a value.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        self.pending_segment(End::Pause, out);
    }

    /// A long pause: gives out all but an escape sequence that is not complete, and lines of a private key.
    pub fn force(&mut self, out: &mut Vec<u8>) {
        self.pending_segment(End::Overdue, out);
    }

    /// The end: gives out the rest.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.pending_segment(End::Closed, out);
        self.context.clear();
        (self.key, self.lapsing, self.after_mask, self.token) = (None, 0, false, None);
    }

    /// Whole lines, at the start of one.
    fn lines(&mut self, lines: &[u8], out: &mut Vec<u8>) {
        let mut rest = lines;
        while !rest.is_empty() {
            let window = rest.get(..BLOCK).unwrap_or(rest);
            let end = memchr::memrchr(b'\n', window).or_else(|| memchr::memchr(b'\n', rest));
            let (block, after) = rest.split_at(end.map_or(rest.len(), |i| i + 1));
            let mut skim = std::mem::take(&mut self.skim);
            let hint = Hint { ssn: self.wanted.contains(DataType::UsSsn) && self.context.speaks_of_ssn() };
            skim.look(&self.detector, block, hint, self.wanted);
            self.skimmed(block, &skim, out);
            self.skim = skim;
            rest = after;
        }
    }

    /// Lines that were looked at: those that are marked one by one, what is between as it is.
    fn skimmed(&mut self, block: &[u8], skim: &Skim, out: &mut Vec<u8>) {
        let text = skim.text(block);
        let mut at = Line::default();
        while at.raw < block.len() {
            let marked = skim.marked(at.raw).unwrap_or(Line { raw: block.len(), text: text.len() });
            if marked.raw > at.raw && self.at_rest() {
                out.extend_from_slice(block.get(at.raw..marked.raw).unwrap_or_default());
                self.context.remember(text.get(at.text..marked.text).unwrap_or_default());
                self.after_mask = false;
                at = marked;
                continue;
            }
            let next = at.next(block, text);
            let line = block.get(at.raw..next.raw).unwrap_or_default();
            self.spots.clear();
            self.spots.extend(skim.spots(at.text..next.text).iter().map(|s| s.moved(at.text)));
            if !self.at_rest() {
                self.segment(line, End::Closed, out);
            } else if !skim.is_plain() || !self.plain_line(line, out) {
                self.spotted = true;
                self.segment(line, End::Closed, out);
            }
            at = next;
        }
    }

    /// Whether nothing that went out before bears on a line but words.
    fn at_rest(&self) -> bool {
        self.key.is_none() && self.lapsing == 0 && self.token.is_none() && self.context.at_line_start()
    }

    /// A line that is read as it stands and has the spots; says whether it could be dealt with.
    fn plain_line(&mut self, line: &[u8], out: &mut Vec<u8>) -> bool {
        let words = self.wanted.contains(DataType::UsSsn) && self.spots.iter().any(Spot::is_number);
        if self.spots.iter().any(Spot::is_private_key) || (words && self.context.speaks_of_ssn()) {
            return false;
        }
        self.detector.scan_spots(line, &self.spots, &Hint::default(), self.wanted, &mut self.found);
        // Without control characters, ASCII is no noise.
        if !(line.is_ascii() && self.context.recent().is_ascii()) {
            self.drop_chances(line);
        }
        let mut from = 0;
        for finding in &self.found {
            out.extend_from_slice(line.get(from..finding.range.start).unwrap_or_default());
            self.replace(finding.data_type, line.get(finding.range.clone()), out);
            from = finding.range.end;
        }
        out.extend_from_slice(line.get(from..).unwrap_or_default());
        self.after_mask = false;
        self.context.remember(line);
        true
    }

    /// Adds to the pending segment; deals with it when it is whole. Returns what is left.
    fn gather<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let room = LONGEST_SEGMENT.saturating_sub(self.pending.len());
        let window = bytes.get(..room).unwrap_or(bytes);
        let line_end = memchr::memchr(b'\n', window);
        let (part, rest) = bytes.split_at(line_end.map_or(window.len(), |i| i + 1));
        self.pending.extend_from_slice(part);
        if line_end.is_some() {
            self.pending_segment(End::Closed, out);
        } else if self.pending.len() >= LONGEST_SEGMENT {
            self.pending_segment(End::Full, out);
        }
        rest
    }

    fn pending_segment(&mut self, end: End, out: &mut Vec<u8>) {
        if self.pending.is_empty() {
            return;
        }
        let mut segment = std::mem::take(&mut self.pending);
        let done = self.segment(&segment, end, out);
        segment.drain(..done.min(segment.len()));
        self.pending = segment;
    }

    /// Gives out what may go of a segment, and says how much of it is dealt with.
    fn segment(&mut self, raw: &[u8], end: End, out: &mut Vec<u8>) -> usize {
        let passed = if self.key.is_some() { self.key_line(raw, end, out) } else { 0 };
        match raw.get(passed..) {
            Some(rest) if !rest.is_empty() && self.key.is_none() => passed + self.text(rest, end, out),
            _ => passed,
        }
    }

    /// A line while a private key passes.
    fn key_line(&mut self, raw: &[u8], end: End, out: &mut Vec<u8>) -> usize {
        let mut screen = std::mem::take(&mut self.screen);
        screen.read(b"", raw, end == End::Closed);
        let line = screen.joined.text.as_slice();
        let last = KeyBlock::end(line);
        let dropped = match (last, &mut self.key) {
            (Some(last), _) => {
                self.key = None;
                screen.joined.end_before(last)
            }
            (None, Some(key)) if key.holds(line) => match end {
                End::Closed => {
                    key.pass(line);
                    raw.len()
                }
                // The last line may have begun.
                End::Full => screen.joined.end_before(line.len().saturating_sub(key::LONGEST_END)),
                End::Pause | End::Overdue => 0,
            },
            _ => {
                (self.key, self.lapsing) = (None, key::LAPSE);
                0
            }
        };
        // A segment of hardly more than sequences is not kept.
        let stuck = end == End::Full && dropped < LONGEST_SEGMENT / 2 && self.key.is_some();
        let dropped = if stuck { raw.len() } else { dropped };
        screen.sequences_within(raw, 0..dropped, out);
        let shown = screen.joined.before(dropped);
        self.context.remember(line.get(..shown).unwrap_or_default());
        self.screen = screen;
        dropped
    }

    /// A segment outside private keys.
    fn text(&mut self, raw: &[u8], end: End, out: &mut Vec<u8>) -> usize {
        let context = self.context.before(self.wanted.contains(DataType::UsSsn));
        let mut screen = std::mem::take(&mut self.screen);
        let mut spans = std::mem::take(&mut self.spans);
        screen.read(&context, raw, end == End::Closed);
        let spotted = std::mem::take(&mut self.spotted) && context.is_empty();
        self.look(&screen, raw, spotted, &mut spans);
        let mut until = screen.open.unwrap_or(raw.len());
        let opens_key = self.opens_key(&screen, raw, &spans, spotted) || self.resumes_key(&screen, &mut spans);
        match end {
            End::Closed | End::Overdue => {}
            End::Full => until = spans.cut(&screen, until),
            End::Pause => until = self.pause(&screen, &spans, until),
        }
        spans.write(&screen, raw, until, self.after_mask, |t, value, out| self.replace(t, value, out), out);
        self.went_out(&screen, &spans, until);
        if end == End::Closed {
            self.lapsing = self.lapsing.saturating_sub(1);
        }
        if opens_key && screen.joined.before(until) == screen.joined.text.len() {
            self.key = Some(KeyBlock::default());
        }
        (self.screen, self.spans) = (screen, spans);
        until
    }

    /// Whether a private key begins and does not end. One that ends in this segment, after a pause within its last
    /// line, is taken for open for a line more.
    fn opens_key(&self, screen: &Screen, raw: &[u8], spans: &Spans, spotted: bool) -> bool {
        let (joined, pieces) = (&screen.joined, &screen.pieces);
        let before = || joined.text.get(..joined.known).unwrap_or_default();
        self.wanted.contains(DataType::PrivateKey)
            && !spans.is_empty()
            && (!spotted || screen.differ || self.spots.iter().any(Spot::is_private_key))
            && (secrets::is_pem_open(&joined.text)
                || (screen.differ && secrets::is_pem_open(&pieces.text))
                || (!screen.differ && joined.known > 0 && is_plain(raw) && secrets::is_pem_open(before())))
    }

    /// Whether a key goes on that another line has broken off: the status line of a terminal, a message.
    fn resumes_key(&self, screen: &Screen, spans: &mut Spans) -> bool {
        let joined = &screen.joined;
        let new = joined.known..joined.text.len();
        let resumes = self.lapsing > 0 && KeyBlock::is_body(joined.text.get(new.clone()).unwrap_or_default());
        if resumes {
            spans.add(joined, &Finding { data_type: DataType::PrivateKey, range: new }, Value::Joined);
            spans.merge();
        }
        resumes
    }

    /// Finds all that has to be masked. `spotted`: the spots of what is joined are known.
    fn look(&mut self, screen: &Screen, raw: &[u8], spotted: bool, spans: &mut Spans) {
        spans.clear();
        if let Some(token) = self.token {
            spans.add_token(&screen.joined, token);
        }
        let joined = &screen.joined.text;
        if spotted {
            self.detector.scan_spots(joined, &self.spots, &Hint::default(), self.wanted, &mut self.found);
            self.drop_chances(joined);
        } else {
            self.find(joined);
        }
        self.found.drain(..).for_each(|f| spans.add(&screen.joined, &f, Value::Joined));
        if screen.differ {
            self.find(&screen.pieces.text);
            self.found.drain(..).for_each(|f| spans.add(&screen.pieces, &f, Value::Pieces));
        }
        for payload in screen.sequences.iter().filter_map(|s| s.payload.clone()) {
            let text = raw.get(payload.clone()).unwrap_or_default();
            self.find(text);
            self.found.drain(..).for_each(|f| spans.add_raw(payload.start, &f));
        }
        spans.merge();
    }

    /// The values in a text, but for those that random bytes make.
    fn find(&mut self, text: &[u8]) {
        self.detector.scan_into(text, &Hint::default(), self.wanted, &mut self.found);
        self.drop_chances(text);
    }

    /// Drops from what was found in a text what random bytes make.
    fn drop_chances(&mut self, text: &[u8]) {
        let before = self.context.recent();
        // What was remembered was visible.
        let clean = || before.is_ascii() && text.is_ascii() && chance::is_clean(text);
        if !self.found.iter().any(|f| f.is_often_chance()) || clean() {
            return;
        }
        // A line of noise may be too short to tell by itself.
        let all = [before, text].concat();
        let shifted =
            |f: &Finding| Finding { range: f.range.start + before.len()..f.range.end + before.len(), ..f.clone() };
        self.found.retain(|f| !self.detector.is_chance(&all, &shifted(f), self.wanted));
    }

    /// Up to where a segment goes out at a pause.
    fn pause(&self, screen: &Screen, spans: &Spans, until: usize) -> usize {
        // A cursor that was put elsewhere does not go on with what it left.
        if screen.moved_on {
            return until;
        }
        let joined = &screen.joined;
        let kept = hold::keep_from(&self.detector, &joined.text, self.wanted).max(joined.known);
        let until = joined.start_of(kept).map_or(until, |start| start.min(until));
        spans.before_last(joined, until)
    }

    fn replace(&self, data_type: DataType, value: Option<&[u8]>, out: &mut Vec<u8>) {
        let rule = self.rules.iter().find(|(t, _)| *t == data_type).map_or(&Operator::Redact, |(_, o)| o);
        let whole = 0..value.map_or(0, <[u8]>::len);
        // Of a value whose beginning was shown, no more is shown.
        let operator = match rule {
            Operator::Fixed(_) | Operator::Null => rule,
            Operator::Redact | Operator::Partial(_) | Operator::Hash | Operator::Date(_) if value.is_none() => {
                &Operator::Redact
            }
            Operator::Redact | Operator::Partial(_) | Operator::Hash | Operator::Date(_) => rule,
        };
        let finding = Finding { data_type, range: whole };
        self.masker.mask_text(value.unwrap_or_default(), &[finding], |_| operator, out);
    }

    /// Remembers what a segment gave out.
    fn went_out(&mut self, screen: &Screen, spans: &Spans, until: usize) {
        let joined = &screen.joined;
        let shown = joined.before(until);
        if shown > joined.known {
            let masked = spans.ending_at(joined.end_before(shown), until);
            self.after_mask = masked.is_some();
            self.token = masked.filter(|t| matches!(t, DataType::ApiKey | DataType::Jwt));
        }
        let from = if self.context.at_line_start() {
            joined.known
        } else {
            // The text begins with what was remembered of this line, as backspaces left it.
            self.context.clear();
            0
        };
        let line = joined.text.get(from..shown).unwrap_or_default();
        self.context.remember(line);
    }
}

#[cfg(test)]
#[path = "stream/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "stream/equal_tests.rs"]
mod equal_tests;
