//! Characters of texts that somebody else wrote.

/// Whether a character, which is no control, is one that people do not see, or that makes a text read otherwise than it is written:
/// marks and overrides of direction, what has no width, fillers, line and paragraph separators, tag characters and variation
/// selectors, which can hide a message. Where texts are shown to who decides, these are shown by their numbers.
pub const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}
