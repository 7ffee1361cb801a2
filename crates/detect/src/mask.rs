//! What replaces a hidden value. The value keeps its type; where an operator has no value of that
//! type, null is sent.
use crate::Finding;
use doorward_model::{DataType, DateUnit, Operator};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// What a value has to stay, in the text representation of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueShape {
    /// Any text.
    Text,
    /// A whole number of so many bits.
    Integer(u8),
    /// A decimal number.
    Numeric,
    /// A calendar date.
    Date,
    /// A point in time, with or without a zone.
    Timestamp,
    /// A UUID.
    Uuid,
    /// JSON: the replacement is a JSON string.
    Json,
    /// Anything else: only null fits.
    Other,
}

/// A value after masking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Masked {
    /// No value.
    Null,
    /// Another value.
    Bytes(Vec<u8>),
}

/// Masks values with the deployment's key.
pub struct Masker {
    key: [u8; 32],
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Masker([secret])")
    }
}

impl Masker {
    /// A masker; `key` is secret and stays the same for a deployment, so that hashes compare.
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// What stands in place of a whole value.
    pub fn apply(&self, operator: &Operator, label: &str, value: &[u8], shape: ValueShape) -> Masked {
        match (operator, shape) {
            (Operator::Null, _) | (_, ValueShape::Other) => Masked::Null,
            (Operator::Hash, _) => self.hashed(value, shape),
            (Operator::Date(unit), ValueShape::Date | ValueShape::Timestamp) => truncated(value, *unit, shape),
            (Operator::Redact, ValueShape::Text) => Masked::Bytes(format!("[{label}]").into_bytes()),
            (Operator::Redact, ValueShape::Json) => json_string(format!("[{label}]").as_bytes()),
            (Operator::Partial(n), ValueShape::Text) => Masked::Bytes(partial(value, *n)),
            (Operator::Partial(n), ValueShape::Json) => json_string(&partial(value, *n)),
            (Operator::Fixed(text), ValueShape::Text) => Masked::Bytes(text.as_bytes().to_vec()),
            (Operator::Fixed(text), ValueShape::Json) => json_string(text.as_bytes()),
            (Operator::Fixed(text), ValueShape::Integer(bits)) => match text.parse::<i64>() {
                Ok(n) if fits(n, bits) => Masked::Bytes(n.to_string().into_bytes()),
                _ => Masked::Null,
            },
            (Operator::Redact | Operator::Partial(_) | Operator::Fixed(_) | Operator::Date(_), _) => Masked::Null,
        }
    }

    /// Writes a text with its findings replaced. Findings are in order and do not overlap.
    pub fn mask_text<'o>(
        &self,
        text: &[u8],
        findings: &[Finding],
        operator_of: impl Fn(DataType) -> &'o Operator,
        out: &mut Vec<u8>,
    ) {
        let mut from = 0;
        for f in findings {
            out.extend_from_slice(text.get(from..f.range.start).unwrap_or_default());
            let value = text.get(f.range.clone()).unwrap_or_default();
            match self.apply(operator_of(f.data_type), f.data_type.as_str(), value, ValueShape::Text) {
                Masked::Bytes(bytes) => out.extend_from_slice(&bytes),
                // In the middle of a text there is no null.
                Masked::Null => out.extend_from_slice(b"[masked]"),
            }
            from = f.range.end;
        }
        out.extend_from_slice(text.get(from..).unwrap_or_default());
    }

    fn digest(&self, value: &[u8]) -> [u8; 32] {
        // HMAC takes keys of any length, so this cannot fail.
        Hmac::<Sha256>::new_from_slice(&self.key).map_or([0; 32], |mut mac| {
            mac.update(value);
            mac.finalize().into_bytes().into()
        })
    }

    fn hashed(&self, value: &[u8], shape: ValueShape) -> Masked {
        let digest = self.digest(value);
        let number = digest.first_chunk::<8>().map_or(0, |b| u64::from_be_bytes(*b));
        match shape {
            ValueShape::Text => Masked::Bytes(format!("h:{}", hex(&digest, 12)).into_bytes()),
            ValueShape::Json => json_string(format!("h:{}", hex(&digest, 12)).as_bytes()),
            ValueShape::Integer(bits) => {
                let keep = u32::from(bits.clamp(8, 64)) - 1;
                Masked::Bytes((number >> (64 - keep)).to_string().into_bytes())
            }
            ValueShape::Numeric => Masked::Bytes((number >> 11).to_string().into_bytes()),
            ValueShape::Uuid => {
                // Version 8 (RFC 9562): custom content.
                let mut b = digest;
                b[6] = (b[6] & 0x0f) | 0x80;
                b[8] = (b[8] & 0x3f) | 0x80;
                let h = hex(&b, 16);
                let part = |from: usize, to: usize| h.get(from..to).unwrap_or_default();
                Masked::Bytes(
                    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
                        .into_bytes(),
                )
            }
            ValueShape::Date | ValueShape::Timestamp | ValueShape::Other => Masked::Null,
        }
    }
}

fn fits(n: i64, bits: u8) -> bool {
    match bits {
        16 => i16::try_from(n).is_ok(),
        32 => i32::try_from(n).is_ok(),
        _ => true,
    }
}

fn hex(bytes: &[u8], n: usize) -> String {
    bytes.iter().take(n).map(|b| format!("{b:02x}")).collect()
}

/// All but the last `n` characters become `*`; a value of no more than twice as many shows nothing.
fn partial(value: &[u8], n: u8) -> Vec<u8> {
    let text = String::from_utf8_lossy(value);
    let count = text.chars().count();
    let shown = if count > 2 * usize::from(n) { usize::from(n) } else { 0 };
    let hidden = count - shown;
    text.chars().enumerate().map(|(i, c)| if i < hidden { '*' } else { c }).collect::<String>().into_bytes()
}

fn json_string(text: &[u8]) -> Masked {
    let mut out = vec![b'"'];
    for c in String::from_utf8_lossy(text).chars() {
        match c {
            '"' | '\\' => {
                out.push(b'\\');
                out.push(c as u8);
            }
            c if c.is_control() => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
    Masked::Bytes(out)
}

/// `2024-05-17…` cut to its unit; any other style of date becomes null.
fn truncated(value: &[u8], unit: DateUnit, shape: ValueShape) -> Masked {
    let iso = value.len() >= 10
        && value
            .iter()
            .take(10)
            .enumerate()
            .all(|(i, b)| if i == 4 || i == 7 { *b == b'-' } else { b.is_ascii_digit() });
    // Years beyond 9999 and before Christ are longer; they are not cut but hidden.
    let ends = value.get(10).is_none_or(|b| *b == b' ') && !value.ends_with(b"BC");
    if !iso || !ends {
        return Masked::Null;
    }
    let keep = match unit {
        DateUnit::Year => 4,
        DateUnit::Month => 7,
        DateUnit::Day => 10,
    };
    let mut out = value.get(..keep).unwrap_or_default().to_vec();
    out.extend_from_slice(b"-01-01".get(keep.saturating_sub(4)..).unwrap_or_default());
    if shape == ValueShape::Timestamp {
        out.extend_from_slice(b" 00:00:00");
        let time = value.get(11..).unwrap_or_default();
        if let Some(zone) = time.iter().position(|b| matches!(b, b'+' | b'-')) {
            out.extend_from_slice(time.get(zone..).unwrap_or_default());
        }
    }
    Masked::Bytes(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Detector, Hint, TypeSet};

    fn masked(operator: &str, value: &str, shape: ValueShape) -> String {
        let masker = Masker::new([7; 32]);
        match masker.apply(&operator.parse().unwrap(), "email", value.as_bytes(), shape) {
            Masked::Null => "null".into(),
            Masked::Bytes(b) => String::from_utf8(b).unwrap(),
        }
    }

    #[test]
    fn a_value_keeps_its_type() {
        for (operator, value, shape, want) in [
            ("redact", "ada@example.com", ValueShape::Text, "[email]"),
            ("redact", "42", ValueShape::Integer(32), "null"),
            ("redact", "{\"a\":1}", ValueShape::Json, "\"[email]\""),
            ("partial:4", "4111111111111111", ValueShape::Text, "************1111"),
            ("partial:4", "12345678", ValueShape::Text, "********"),
            ("partial:2", "größe!", ValueShape::Text, "****e!"),
            ("fixed:0", "42", ValueShape::Integer(32), "0"),
            ("fixed:99999", "42", ValueShape::Integer(16), "null"),
            ("date:month", "2024-05-17", ValueShape::Date, "2024-05-01"),
            ("date:year", "2024-05-17 10:11:12.5+02", ValueShape::Timestamp, "2024-01-01 00:00:00+02"),
            ("date:day", "2024-05-17 10:11:12", ValueShape::Timestamp, "2024-05-17 00:00:00"),
            ("date:day", "17/05/2024", ValueShape::Date, "null"),
            ("hash", "x", ValueShape::Other, "null"),
            ("null", "x", ValueShape::Text, "null"),
        ] {
            assert_eq!(masked(operator, value, shape), want, "{operator} {value}");
        }
    }

    #[test]
    fn a_hash_compares_and_fits() {
        assert_eq!(masked("hash", "a", ValueShape::Text), masked("hash", "a", ValueShape::Text));
        assert_ne!(masked("hash", "a", ValueShape::Text), masked("hash", "b", ValueShape::Text));
        assert!(masked("hash", "7", ValueShape::Integer(16)).parse::<i16>().is_ok());
        assert!(masked("hash", "7", ValueShape::Integer(32)).parse::<i32>().is_ok());
        assert!(masked("hash", "7", ValueShape::Integer(64)).parse::<i64>().is_ok());
        assert_eq!(masked("hash", "7", ValueShape::Uuid).len(), 36);
    }

    #[test]
    fn nothing_is_found_in_what_was_masked() {
        let detector = Detector::new();
        let text = b"ada@example.com paid 4111 1111 1111 1111 from 192.168.1.10";
        let findings = detector.scan(text, &Hint::default(), TypeSet::all());
        assert_eq!(findings.len(), 3);
        let mut out = Vec::new();
        Masker::new([7; 32]).mask_text(text, &findings, |_| &Operator::Redact, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "[email] paid [credit_card] from [ip_address]");
        assert!(detector.scan(&out, &Hint::default(), TypeSet::all()).is_empty());
    }
}
