//! Errors, notices, notifications and function results, as the caller may see them.
use crate::codec::{self, Fields, UpstreamMessage};
use doorward_detect::Hint;
use doorward_sql_session::TextMasking;

/// How much of an error or notice the caller may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorExposure {
    /// Its texts are looked through.
    ScanOnly,
    /// The statement changes data, and triggers and cascades may touch hidden columns: what comes out of one is left out.
    HideNested,
    /// The statement touches hidden columns: what can quote their values is left out.
    HideValues,
    /// And the names of relations and constraints: which partition a row is in tells of its values.
    HideNames,
}

/// Classes of SQLSTATE whose messages speak of the statement and the server, never of stored values.
const SPEAK_OF_NO_VALUES: [&[u8]; 11] = [b"08", b"0A", b"25", b"26", b"28", b"2B", b"2D", b"3B", b"40", b"53", b"57"];
/// And of class 54, which otherwise says how large a row or an entry of an index would be, as its values are long: a statement that
/// is too complex, has too many columns or arguments.
const ARE_TOO_COMPLEX: [&[u8]; 3] = [b"54001", b"54011", b"54023"];
/// Classes whose messages quote a name. It stands in the caller's text where the error points into that;
/// without a position it was looked up while running (`ssn::regclass`, `nextval(ssn)`), out of a value.
const QUOTE_NAMES: [&[u8]; 5] = [b"34", b"3D", b"3F", b"42", b"55"];

/// What stands in place of a message that may quote hidden values.
const HIDDEN: &[u8] = b"details hidden by Doorward: the statement touches masked columns";

/// Whether a message cannot quote a stored value, even if somebody tries to make it.
fn is_harmless(fields: &Fields<'_>) -> bool {
    let find = |wanted: u8| fields.clone().find(|(code, _)| *code == wanted).map(|(_, text)| text);
    // An error out of a function can have any code and any message (`RAISE … USING ERRCODE`).
    if is_nested(fields) {
        return false;
    }
    let code = find(b'C').unwrap_or_default();
    let is_of = |classes: &[&[u8]]| classes.iter().any(|class| code.starts_with(class));
    code == b"42501"
        || is_of(&SPEAK_OF_NO_VALUES)
        || is_of(&ARE_TOO_COMPLEX)
        || (is_of(&QUOTE_NAMES) && find(b'P').is_some())
}

/// Whether it comes out of a function, a trigger or a cascade: then it has a context. Only the server's own contexts of waiting for
/// locks are known not to come from there.
fn is_nested(fields: &Fields<'_>) -> bool {
    fields.clone().any(|(code, context)| code == b'W' && !context.starts_with(b"while "))
}

/// An ErrorResponse or NoticeResponse as the caller may see it. `place`: where something of the text that was sent is in
/// the caller's, in characters from 1.
pub(crate) fn error_or_notice(
    frame: &[u8],
    exposure: ErrorExposure,
    text: &TextMasking,
    place: &dyn Fn(usize) -> usize,
) -> Vec<u8> {
    let Some(fields) = codec::error_fields(frame) else { return Vec::new() };
    let tag = frame.first().copied().unwrap_or(b'E');
    let hide = match exposure {
        ErrorExposure::ScanOnly => false,
        ErrorExposure::HideNested => is_nested(&fields),
        ErrorExposure::HideValues | ErrorExposure::HideNames => true,
    };
    let hide_names = exposure == ErrorExposure::HideNames;
    let harmless = is_harmless(&fields);
    let mut body = Vec::with_capacity(frame.len());
    for (field, value) in fields {
        let shown = match field {
            b'P' => moved(value, place),
            b's' | b't' | b'c' | b'd' | b'n' if hide_names => continue,
            // severity, code, internal position, names of objects, place in the server's source
            b'S' | b'V' | b'C' | b'p' | b's' | b't' | b'c' | b'd' | b'n' | b'F' | b'L' | b'R' => value.to_vec(),
            b'M' if hide && !harmless => HIDDEN.to_vec(),
            b'M' => masked(text, value),
            // detail, hint, internal query, context, and what later versions may add
            _ if hide => continue,
            _ => masked(text, value),
        };
        body.push(field);
        body.extend_from_slice(&shown);
        body.push(0);
    }
    body.push(0);
    framed(tag, &body)
}

fn moved(position: &[u8], place: &dyn Fn(usize) -> usize) -> Vec<u8> {
    let number = std::str::from_utf8(position).ok().and_then(|p| p.parse().ok());
    number.map_or_else(|| position.to_vec(), |at| place(at).to_string().into_bytes())
}

fn masked(text: &TextMasking, value: &[u8]) -> Vec<u8> {
    let mut masked = text.text(value, &Hint::default()).unwrap_or_else(|| value.to_vec());
    // A replacement with a NUL in it would end its field early and shift what follows.
    masked.retain(|b| *b != 0);
    masked
}

/// A NotificationResponse as the caller may see it.
pub(crate) fn notification(frame: &[u8], text: &TextMasking) -> Vec<u8> {
    match codec::upstream_message(frame) {
        Ok(UpstreamMessage::NotificationResponse { process_id, channel, payload }) => {
            let mut body = process_id.to_be_bytes().to_vec();
            for part in [channel, payload] {
                body.extend_from_slice(&masked(text, part));
                body.push(0);
            }
            framed(b'A', &body)
        }
        _ => Vec::new(),
    }
}

/// A ParameterStatus as the caller may see it: a function may have put anything into a setting.
pub(crate) fn parameter_status(name: &str, value: &str, text: &TextMasking) -> Vec<u8> {
    let body = [name.as_bytes(), b"\0", &masked(text, value.as_bytes()), b"\0"].concat();
    framed(b'S', &body)
}

/// A FunctionCallResponse as the caller may see it.
pub(crate) fn function_result(frame: &[u8], text: &TextMasking) -> Vec<u8> {
    match codec::upstream_message(frame) {
        Ok(UpstreamMessage::FunctionCallResponse(Some(value))) => {
            // Neither its type nor its format is known here: it is read in each way it can be, and
            // null is the only value that fits in its place.
            let hint = Hint::default();
            let number = super::values::integer(value).map(|n| n.to_string()).or_else(|| super::values::numeric(value));
            let sensitive = text.finds(value, &hint) || number.is_some_and(|n| text.finds(n.as_bytes(), &hint));
            if sensitive { framed(b'V', &(-1_i32).to_be_bytes()) } else { frame.to_vec() }
        }
        _ => frame.to_vec(),
    }
}

fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 5);
    out.push(tag);
    out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(body);
    out
}
