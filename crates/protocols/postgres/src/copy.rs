//! COPY data on their way out, masked: text, CSV and binary, cut anywhere.
use crate::mask::Field;
use bytes::{Buf as _, BufMut as _, BytesMut};
use doorward_detect::Masked;
use doorward_sql::postgres::CopyFormat;
use doorward_sql_session::TextMasking;

/// COPY data that cannot be masked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CopyError {
    /// A line or tuple longer than is looked into.
    #[error("a line of COPY data is longer than {0} bytes")]
    TooLong(usize),
    /// A line has other columns than the statement.
    #[error("a line of COPY data has {row} columns and the statement {wanted}")]
    Columns {
        /// Columns of the line.
        row: usize,
        /// Columns of the statement.
        wanted: usize,
    },
    /// Binary data that are not of their format, or end within a tuple.
    #[error("COPY data are not of their format")]
    Malformed,
}

/// Of longer lines no second copy is made to look them through: their values are looked at one by one.
const MOST_SEEN: usize = 1 << 20;

/// The signature of binary COPY data (PostgreSQL manual, COPY, "Binary Format").
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// Before the first line or tuple.
    Header,
    Rows,
    /// After the trailer of binary data.
    Trailer,
}

/// Masks the data of one COPY.
#[derive(Debug)]
pub(crate) struct CopyMasker {
    format: CopyFormat,
    fields: Vec<Field>,
    text: TextMasking,
    clear: bool,
    /// Clean raw bytes mean clean lines, and no column is replaced.
    by_bytes: bool,
    /// Values stand in the data as they are.
    as_they_are: bool,
    /// What stands for every value stands also for null.
    nulls: bool,
    limit: usize,
    part: Part,
    /// The beginning of a line or tuple whose end has not come.
    pending: BytesMut,
    /// How far `pending` has been searched for an end, and whether within quotes.
    searched: usize,
    quoted: bool,
}

impl CopyMasker {
    /// A masker for data of these columns. Lines longer than `limit` bytes are an error.
    pub(crate) fn new(format: CopyFormat, header: bool, fields: Vec<Field>, text: TextMasking, limit: usize) -> Self {
        let clear = fields.iter().all(Field::is_clear) && (!fields.is_empty() || text.wanted.is_empty());
        let part = if header || format == CopyFormat::Binary { Part::Header } else { Part::Rows };
        let as_they_are = shows_its_values(&format);
        let by_bytes = as_they_are && fields.iter().all(Field::is_told_by_bytes);
        let pending = BytesMut::new();
        let (nulls, searched, quoted) = (false, 0, false);
        Self { format, fields, text, clear, by_bytes, as_they_are, nulls, limit, part, pending, searched, quoted }
    }

    /// The same, with null shown as any other value is where that is the same for all: whether there is a value is not told.
    pub(crate) const fn with_nulls(mut self, nulls: bool) -> Self {
        self.nulls = nulls;
        self
    }

    fn replaces_null(&self, field: &Field) -> bool {
        self.nulls && field.constant(&self.text).is_some()
    }

    /// Whether the data pass untouched.
    pub(crate) const fn is_clear(&self) -> bool {
        self.clear
    }

    /// Takes the payload of one CopyData message, and writes CopyData messages.
    ///
    /// # Errors
    /// Where the data cannot be masked. Nothing of the line in question was written.
    pub(crate) fn data(&mut self, payload: &[u8], out: &mut BytesMut, masked: &mut u64) -> Result<(), CopyError> {
        self.pending.extend_from_slice(payload);
        let mut lines = BytesMut::new();
        while let Some(end) = self.next_end()? {
            let line = self.pending.split_to(end);
            self.searched = 0;
            self.quoted = false;
            self.line(&line, &mut lines, masked)?;
        }
        if self.pending.len() > self.limit {
            return Err(CopyError::TooLong(self.limit));
        }
        write_data(&lines, out);
        Ok(())
    }

    /// The data are complete.
    ///
    /// # Errors
    /// Where they end within a binary tuple.
    pub(crate) fn finish(&mut self, out: &mut BytesMut, masked: &mut u64) -> Result<(), CopyError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.format == CopyFormat::Binary {
            return Err(CopyError::Malformed);
        }
        let line = std::mem::take(&mut self.pending);
        let mut lines = BytesMut::new();
        self.line(&line, &mut lines, masked)?;
        write_data(&lines, out);
        Ok(())
    }

    /// Where the first line or tuple of `pending` ends, if it does.
    fn next_end(&mut self) -> Result<Option<usize>, CopyError> {
        match &self.format {
            CopyFormat::Text { .. } | CopyFormat::NotUnderstood(_) => {
                let rest = self.pending.get(self.searched..).unwrap_or_default();
                let found = rest.iter().position(|b| *b == b'\n').map(|i| self.searched + i + 1);
                self.searched = self.pending.len();
                Ok(found)
            }
            CopyFormat::Csv { quote, escape, .. } => Ok(self.next_csv_end(*quote, *escape)),
            CopyFormat::Binary => self.next_tuple_end(),
        }
    }

    fn next_csv_end(&mut self, quote: u8, escape: u8) -> Option<usize> {
        while let Some(b) = self.pending.get(self.searched).copied() {
            if self.quoted && escape != quote && b == escape {
                if self.searched + 1 >= self.pending.len() {
                    // What is escaped has not come yet.
                    return None;
                }
                self.searched += 2;
                continue;
            }
            self.searched += 1;
            if b == quote {
                self.quoted = !self.quoted;
            } else if b == b'\n' && !self.quoted {
                return Some(self.searched);
            }
        }
        None
    }

    fn next_tuple_end(&self) -> Result<Option<usize>, CopyError> {
        let mut rest = &self.pending[..];
        let total = rest.len();
        match self.part {
            Part::Header => {
                if rest.len() < SIGNATURE.len() + 8 {
                    return Ok(None);
                }
                if !rest.starts_with(SIGNATURE) {
                    return Err(CopyError::Malformed);
                }
                rest.advance(SIGNATURE.len() + 4);
                let extension = usize::try_from(rest.get_i32()).map_err(|_| CopyError::Malformed)?;
                Ok((rest.len() >= extension).then(|| total - rest.len() + extension))
            }
            Part::Trailer => {
                if total == 0 {
                    Ok(None)
                } else {
                    Err(CopyError::Malformed)
                }
            }
            Part::Rows => {
                let Ok(count) = rest.try_get_i16() else { return Ok(None) };
                if count == -1 {
                    return Ok(Some(2));
                }
                for _ in 0..u16::try_from(count).map_err(|_| CopyError::Malformed)? {
                    let Ok(length) = rest.try_get_i32() else { return Ok(None) };
                    if length == -1 {
                        continue;
                    }
                    let length = usize::try_from(length).map_err(|_| CopyError::Malformed)?;
                    if rest.len() < length {
                        return Ok(None);
                    }
                    rest.advance(length);
                }
                Ok(Some(total - rest.len()))
            }
        }
    }

    fn line(&mut self, line: &[u8], out: &mut BytesMut, masked: &mut u64) -> Result<(), CopyError> {
        if self.part == Part::Header {
            self.part = Part::Rows;
            out.extend_from_slice(line);
            return Ok(());
        }
        let is_trailer = self.format == CopyFormat::Binary && line.len() == 2;
        if self.by_bytes && !is_trailer && !self.text.may_contain(line) {
            out.extend_from_slice(line);
            return Ok(());
        }
        match self.format.clone() {
            CopyFormat::Text { delimiter, null } => self.text_line(line, delimiter, &null, out, masked),
            CopyFormat::Csv { delimiter, null, quote, escape } => {
                let csv = Csv { delimiter, null: &null, quote, escape };
                self.csv_line(line, &csv, out, masked)
            }
            CopyFormat::Binary => self.tuple(line, out, masked),
            CopyFormat::NotUnderstood(_) => Err(CopyError::Malformed),
        }
    }

    fn text_line(
        &self,
        line: &[u8],
        delimiter: u8,
        null: &[u8],
        out: &mut BytesMut,
        masked: &mut u64,
    ) -> Result<(), CopyError> {
        let (content, end) = without_newline(line);
        let mut escaped = false;
        let fields: Vec<&[u8]> = content
            .split(|b| {
                if escaped {
                    escaped = false;
                    return false;
                }
                escaped = *b == b'\\';
                *b == delimiter
            })
            .collect();
        self.check_columns(fields.len(), content.is_empty())?;
        let clean = self.is_clean(&fields, delimiter);
        for (i, value) in fields.iter().enumerate() {
            if i > 0 {
                out.put_u8(delimiter);
            }
            // What is written as NULL is may be a value: what a recognizer finds in it is masked in both.
            let is_null = |field: &Field| {
                *value == null && (null == b"\\N" || !field.is_told_by_bytes()) && !self.replaces_null(field)
            };
            let plan = self.fields.get(i).filter(|field| !(is_null(field) || clean && field.is_told_by_bytes()));
            let Some(masking) = plan.and_then(|f| f.apply(&self.text, &unescape_text(value))) else {
                out.extend_from_slice(value);
                continue;
            };
            *masked += 1;
            match masking {
                Masked::Null => out.extend_from_slice(null),
                Masked::Bytes(bytes) => escape_text(&bytes, delimiter, out),
            }
        }
        out.extend_from_slice(end);
        Ok(())
    }

    fn csv_line(&self, line: &[u8], csv: &Csv<'_>, out: &mut BytesMut, masked: &mut u64) -> Result<(), CopyError> {
        let (content, end) = without_newline(line);
        let fields = csv.split(content);
        self.check_columns(fields.len(), content.is_empty())?;
        let clean = self.is_clean(&fields, csv.delimiter);
        for (i, value) in fields.iter().enumerate() {
            if i > 0 {
                out.put_u8(csv.delimiter);
            }
            let is_null = |field: &Field| *value == csv.null && !self.replaces_null(field);
            let plan = self.fields.get(i).filter(|field| !(is_null(field) || clean && field.is_told_by_bytes()));
            let Some(masking) = plan.and_then(|f| f.apply(&self.text, &csv.unquote(value))) else {
                out.extend_from_slice(value);
                continue;
            };
            *masked += 1;
            match masking {
                Masked::Null => out.extend_from_slice(csv.null),
                Masked::Bytes(bytes) => csv.quoted(&bytes, out),
            }
        }
        out.extend_from_slice(end);
        Ok(())
    }

    /// Whether nothing is to be found in the columns of a line that clean raw bytes tell of. The others are looked at one by one.
    fn is_clean(&self, line: &[&[u8]], delimiter: u8) -> bool {
        let length: usize = line.iter().map(|value| value.len()).sum();
        if !self.as_they_are || self.by_bytes || length > MOST_SEEN {
            return false;
        }
        let mut told = Vec::new();
        for (value, field) in line.iter().zip(&self.fields) {
            if field.is_told_by_bytes() {
                told.extend_from_slice(value);
                told.push(delimiter);
            }
        }
        !self.text.may_contain(&told)
    }

    fn tuple(&mut self, tuple: &[u8], out: &mut BytesMut, masked: &mut u64) -> Result<(), CopyError> {
        let mut rest = tuple;
        let count = rest.try_get_i16().map_err(|_| CopyError::Malformed)?;
        out.put_i16(count);
        if count == -1 {
            self.part = Part::Trailer;
            return Ok(());
        }
        self.check_columns(usize::try_from(count).unwrap_or(0), false)?;
        for field in &self.fields {
            let length = rest.try_get_i32().map_err(|_| CopyError::Malformed)?;
            let value = match usize::try_from(length) {
                Ok(length) => rest.split_off(..length).ok_or(CopyError::Malformed)?,
                Err(_) if self.replaces_null(field) => &[],
                Err(_) => {
                    out.put_i32(-1);
                    continue;
                }
            };
            match field.apply(&self.text, value) {
                None => {
                    out.put_u32(u32::try_from(value.len()).unwrap_or(0));
                    out.extend_from_slice(value);
                }
                Some(Masked::Null) => {
                    *masked += 1;
                    out.put_i32(-1);
                }
                Some(Masked::Bytes(bytes)) => {
                    *masked += 1;
                    out.put_u32(u32::try_from(bytes.len()).unwrap_or(0));
                    out.extend_from_slice(&bytes);
                }
            }
        }
        Ok(())
    }

    fn check_columns(&self, row: usize, empty: bool) -> Result<(), CopyError> {
        // An empty line is one empty field, or none where the table has no columns.
        if row == self.fields.len() || (empty && self.fields.is_empty()) {
            Ok(())
        } else {
            Err(CopyError::Columns { row, wanted: self.fields.len() })
        }
    }
}

/// Whether values stand in the data as they are, but for quotes and backslashes: a delimiter that can be
/// a part of a number or an address is escaped within it, and the raw bytes then do not show it.
fn shows_its_values(format: &CopyFormat) -> bool {
    let outside = |b: u8| matches!(b, b'\t' | b',' | b'|' | b';' | b'"' | b'\'' | b'\\' | b'~' | b'^' | 1..=8);
    match format {
        CopyFormat::Text { delimiter, .. } => outside(*delimiter),
        CopyFormat::Csv { delimiter, quote, escape, .. } => outside(*delimiter) && outside(*quote) && outside(*escape),
        CopyFormat::Binary => true,
        CopyFormat::NotUnderstood(_) => false,
    }
}

fn write_data(payload: &[u8], out: &mut BytesMut) {
    if !payload.is_empty() {
        out.put_u8(b'd');
        out.put_u32(u32::try_from(payload.len() + 4).unwrap_or(u32::MAX));
        out.extend_from_slice(payload);
    }
}

fn without_newline(line: &[u8]) -> (&[u8], &[u8]) {
    match line.split_last() {
        Some((b'\n', content)) => (content, b"\n"),
        _ => (line, b""),
    }
}

/// The value behind the text format's backslashes (manual, COPY, "Text Format").
fn unescape_text(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        match bytes.next() {
            Some(b'b') => out.push(8),
            Some(b'f') => out.push(12),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'v') => out.push(11),
            Some(other) => out.push(other),
            None => out.push(b'\\'),
        }
    }
    out
}

fn escape_text(value: &[u8], delimiter: u8, out: &mut BytesMut) {
    for b in value {
        match *b {
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            11 => out.extend_from_slice(b"\\v"),
            b if b == b'\\' || b == delimiter => out.extend_from_slice(&[b'\\', b]),
            b => out.put_u8(b),
        }
    }
}

struct Csv<'a> {
    delimiter: u8,
    null: &'a [u8],
    quote: u8,
    escape: u8,
}

impl Csv<'_> {
    fn split<'l>(&self, line: &'l [u8]) -> Vec<&'l [u8]> {
        let (mut quoted, mut escaped) = (false, false);
        line.split(|b| {
            if escaped {
                escaped = false;
            } else if quoted && self.escape != self.quote && *b == self.escape {
                escaped = true;
            } else if *b == self.quote {
                quoted = !quoted;
            } else {
                return *b == self.delimiter && !quoted;
            }
            false
        })
        .collect()
    }

    fn unquote(&self, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(value.len());
        let mut quoted = false;
        let mut bytes = value.iter().copied().peekable();
        while let Some(b) = bytes.next() {
            let escapes =
                quoted && b == self.escape && bytes.peek().is_some_and(|n| *n == self.quote || *n == self.escape);
            if escapes {
                out.extend(bytes.next());
            } else if b == self.quote {
                quoted = !quoted;
            } else {
                out.push(b);
            }
        }
        out
    }

    /// Always quoted: what stands in a masked value needs no second look.
    fn quoted(&self, value: &[u8], out: &mut BytesMut) {
        out.put_u8(self.quote);
        for b in value {
            if *b == self.quote || *b == self.escape {
                out.put_u8(self.escape);
            }
            out.put_u8(*b);
        }
        out.put_u8(self.quote);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_detect::{Detector, Hint, Masker, TypeSet};
    use doorward_enforce::MaskRule;
    use doorward_model::Operator;
    use doorward_sql_session::FieldPlan;
    use proptest::prelude::*;
    use std::sync::{Arc, OnceLock};

    fn text() -> TextMasking {
        static DETECTOR: OnceLock<Arc<Detector>> = OnceLock::new();
        TextMasking {
            detector: Arc::clone(DETECTOR.get_or_init(|| Arc::new(Detector::new()))),
            masker: Arc::new(Masker::new([1; 32])),
            wanted: TypeSet::all(),
            rules: Arc::from([]),
        }
    }

    fn masker(format: CopyFormat, header: bool) -> CopyMasker {
        let rule = Arc::new(MaskRule { operator: Operator::Redact, label: "ssn".into(), by_default: false });
        let binary = i16::from(format == CopyFormat::Binary);
        let fields = vec![
            Field::new(FieldPlan::Clear, 25, binary),
            Field::new(FieldPlan::Mask(rule), 25, binary),
            Field::new(FieldPlan::Scan(Hint::default()), 25, binary),
        ];
        CopyMasker::new(format, header, fields, text(), 1 << 20)
    }

    fn run(m: &mut CopyMasker, chunks: &[&[u8]]) -> Result<Vec<u8>, CopyError> {
        let (mut out, mut masked) = (BytesMut::new(), 0);
        for chunk in chunks {
            m.data(chunk, &mut out, &mut masked)?;
        }
        m.finish(&mut out, &mut masked)?;
        let (mut payload, mut rest) = (Vec::new(), &out[..]);
        while !rest.is_empty() {
            assert_eq!(rest.get_u8(), b'd');
            let n = rest.get_u32() as usize - 4;
            payload.extend_from_slice(&rest[..n]);
            rest.advance(n);
        }
        Ok(payload)
    }

    fn text_format() -> CopyFormat {
        CopyFormat::Text { delimiter: b'\t', null: b"\\N".to_vec() }
    }
    fn csv_format() -> CopyFormat {
        CopyFormat::Csv { delimiter: b',', null: Vec::new(), quote: b'"', escape: b'"' }
    }

    const TEXT: &[u8] = b"a\\tb\t078-05-1120\tmail ada@example.com\nx\t\\N\tplain\n";
    const CSV: &[u8] = b"a,b,c\n\"x,\n\"\"y\",078-05-1120,\"ada@example.com, \"\"hi\"\"\"\n1,,2\n";

    #[test]
    fn text_is_masked_by_column_and_by_content() {
        let got = run(&mut masker(text_format(), false), &[TEXT]).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), "a\\tb\t[ssn]\tmail [email]\nx\t\\N\tplain\n");
    }

    /// What is written as NULL is may be a value, which nothing tells.
    #[test]
    fn a_mark_of_null_that_is_sensitive_is_masked() {
        let format = CopyFormat::Text { delimiter: b'\t', null: b"ada@example.com".to_vec() };
        let got = run(&mut masker(format, false), &[b"a\tb\tada@example.com\nada@example.com\tb\tx\n"]).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), "a\t[ssn]\t[email]\nada@example.com\t[ssn]\tx\n");
    }

    #[test]
    fn csv_is_masked_within_its_quotes() {
        let got = run(&mut masker(csv_format(), true), &[CSV]).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), "a,b,c\n\"x,\n\"\"y\",\"[ssn]\",\"[email], \"\"hi\"\"\"\n1,,2\n");
    }

    fn binary() -> Vec<u8> {
        let mut data = SIGNATURE.to_vec();
        data.extend([0; 8]);
        data.extend(3_i16.to_be_bytes());
        for value in [&b"a"[..], b"078-05-1120", b"ada@example.com"] {
            data.extend((value.len() as i32).to_be_bytes());
            data.extend(value);
        }
        data.extend((-1_i16).to_be_bytes());
        data
    }

    #[test]
    fn binary_is_masked() {
        let got = run(&mut masker(CopyFormat::Binary, false), &[&binary()]).unwrap();
        let shown = String::from_utf8_lossy(&got);
        assert!(shown.contains("[ssn]") && shown.contains("[email]") && !shown.contains("078"), "{shown}");
        let cut = binary();
        assert!(run(&mut masker(CopyFormat::Binary, false), &[&cut[..30]]).is_err());
    }

    #[test]
    fn a_delimiter_within_a_number_hides_nothing() {
        let scan = |format: CopyFormat| {
            let fields = vec![Field::new(FieldPlan::Scan(Hint::default()), 25, 0)];
            CopyMasker::new(format, false, fields, text(), 1 << 20)
        };
        let dashed = CopyFormat::Text { delimiter: b'-', null: b"\\N".to_vec() };
        let got = run(&mut scan(dashed), &[b"5555\\-5555\\-5555\\-4444\n"]).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), "[credit_card]\n");
        let odd = CopyFormat::Csv { delimiter: b',', null: Vec::new(), quote: b'@', escape: b'@' };
        let got = run(&mut scan(odd), &[b"@ada@@example.com@\nplain\n"]).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), "@[email]@\nplain\n");
    }

    #[test]
    fn arrays_stay_arrays() {
        let fields = vec![Field::new(FieldPlan::Scan(Hint::default()), 1009, 0)];
        let mut m = CopyMasker::new(text_format(), false, fields, text(), 1 << 20);
        let got = run(&mut m, &[b"{ada@example.com,\"x \\\\\" y\"}\n"]).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), "{\"[email]\",\"x \\\\\" y\"}\n");
    }

    #[test]
    fn clean_data_pass_byte_for_byte_and_long_lines_do_not() {
        let scan = |limit| {
            let fields = vec![Field::new(FieldPlan::Scan(Hint::default()), 25, 0); 2];
            CopyMasker::new(text_format(), false, fields, text(), limit)
        };
        let clean = b"a\\nb\t\\N\n\\\\\tplain";
        assert_eq!(run(&mut scan(100), &[clean]).unwrap(), clean);
        assert_eq!(run(&mut scan(100), &[&[b'x'; 101]]), Err(CopyError::TooLong(100)));
    }

    #[test]
    fn nothing_follows_the_trailer_of_binary_data() {
        let fields = || vec![Field::new(FieldPlan::Scan(Hint::default()), 25, 1); 3];
        let mut m = CopyMasker::new(CopyFormat::Binary, false, fields(), text(), 1 << 20);
        assert_eq!(run(&mut m, &[&binary(), b"\0\x03"]), Err(CopyError::Malformed));
    }

    #[test]
    fn a_line_with_other_columns_is_not_passed() {
        assert!(run(&mut masker(text_format(), false), &[b"a\tb\n"]).is_err());
        assert!(run(&mut masker(text_format(), false), &[b"a\tb\tc\td\n"]).is_err());
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(cuts in prop::collection::vec(0_usize..200, 0..6), which in 0_u8..3) {
            let (format, header, data) = match which {
                0 => (text_format(), false, TEXT.to_vec()),
                1 => (csv_format(), true, CSV.to_vec()),
                _ => (CopyFormat::Binary, false, binary()),
            };
            let whole = run(&mut masker(format.clone(), header), &[&data]).unwrap();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(data.len())).collect();
            cuts.sort_unstable();
            let (mut chunks, mut from) = (Vec::new(), 0);
            for cut in cuts.into_iter().chain([data.len()]) {
                chunks.push(&data[from..cut]);
                from = cut;
            }
            prop_assert_eq!(run(&mut masker(format, header), &chunks).unwrap(), whole);
        }

        /// Where a line is clean but for what is replaced, its columns are what they are when each is looked at.
        #[test]
        fn clean_columns_pass_as_they_do_one_by_one(
            picks in prop::collection::vec((0_usize..5, 0_usize..5, 0_usize..5), 0..6),
            in_csv: bool,
        ) {
            let values = ["plain", "mail ada@example.com", "", "4111 1111 1111 1111", "a\\\\tb"];
            let (format, delimiter) = if in_csv { (csv_format(), ",") } else { (text_format(), "\t") };
            let lines: String =
                picks.iter().map(|(a, b, c)| [values[*a], values[*b], values[*c]].join(delimiter) + "\n").collect();
            let mut each = masker(format.clone(), false);
            each.as_they_are = false;
            let want = run(&mut each, &[lines.as_bytes()]).unwrap();
            prop_assert_eq!(run(&mut masker(format, false), &[lines.as_bytes()]).unwrap(), want);
        }

        #[test]
        fn any_bytes_are_fine(data in prop::collection::vec(any::<u8>(), 0..200), which in 0_u8..3) {
            let format = match which { 0 => text_format(), 1 => csv_format(), _ => CopyFormat::Binary };
            let _either = run(&mut masker(format, false), &[&data]);
        }
    }
}
