//! What COPY moves, and how its data looks.
use super::{CopyFormat, CopySpec, Lineage, query};
use pg_raw_parse::{Node, nodes};

/// `COPY … TO STDOUT` and `FROM STDIN`; `None` for files and programs.
pub(super) fn spec(s: &nodes::CopyStmt, lineage: Option<&Lineage>) -> Option<CopySpec> {
    if s.filename().is_some() || s.is_program {
        return None;
    }
    let mut options = Options::default();
    for option in s.options() {
        options.read(option);
    }
    let (header, of_table) = (options.header, s.relation().is_some());
    let lineage = lineage.cloned().unwrap_or_default();
    Some(CopySpec { out: !s.is_from, of_table, lineage, header, format: options.format() })
}

#[derive(Default)]
struct Options {
    format: Option<String>,
    delimiter: Option<String>,
    null: Option<String>,
    quote: Option<String>,
    escape: Option<String>,
    header: bool,
    odd: Option<String>,
}

impl Options {
    fn read(&mut self, option: &nodes::DefElem) {
        let name = option.defname().unwrap_or_default();
        let value = text(option.arg());
        // INVARIANT: nothing that the server reads is taken for not given. It takes lists, `*` and decimals for texts, too.
        let is_columns = matches!(name, "force_quote" | "force_not_null" | "force_null");
        if value.is_none() && !matches!(option.arg(), Node::None) && !is_columns {
            self.odd = Some(format!("what stands behind {name}"));
            return;
        }
        match name {
            "format" => self.format = value,
            "delimiter" => self.delimiter = value,
            "null" => self.null = value,
            "quote" => self.quote = value,
            "escape" => self.escape = value,
            "header" => match value.map(|value| value.to_ascii_lowercase()).as_deref() {
                None | Some("true" | "on" | "1" | "match") => self.header = true,
                Some("false" | "off" | "0") => self.header = false,
                Some(_) => self.odd = Some("what stands behind header".to_owned()),
            },
            "freeze" | "force_quote" | "force_not_null" | "force_null" | "on_error" | "log_verbosity" | "default"
            | "reject_limit" => {}
            "encoding" => {
                let plain: String = value
                    .unwrap_or_default()
                    .chars()
                    .filter(char::is_ascii_alphanumeric)
                    .collect::<String>()
                    .to_ascii_lowercase();
                if plain != "utf8" {
                    self.odd = Some(format!("encoding {plain}"));
                }
            }
            other => self.odd = Some(format!("option {other}")),
        }
    }

    fn format(self) -> CopyFormat {
        if let Some(odd) = self.odd {
            return CopyFormat::NotUnderstood(odd);
        }
        let one = |value: &Option<String>, default: u8| match value.as_deref().map(str::as_bytes) {
            None => Some(default),
            Some([byte]) => Some(*byte),
            Some(_) => None,
        };
        let null = |default: &str| self.null.clone().unwrap_or_else(|| default.to_owned()).into_bytes();
        match self.format.as_deref().unwrap_or("text") {
            "text" => match one(&self.delimiter, b'\t') {
                Some(delimiter) => CopyFormat::Text { delimiter, null: null("\\N") },
                None => CopyFormat::NotUnderstood("the delimiter".to_owned()),
            },
            "csv" => {
                let quote = one(&self.quote, b'"');
                match (one(&self.delimiter, b','), quote, one(&self.escape, quote.unwrap_or(b'"'))) {
                    (Some(delimiter), Some(quote), Some(escape)) => {
                        CopyFormat::Csv { delimiter, null: null(""), quote, escape }
                    }
                    _ => CopyFormat::NotUnderstood("delimiter, quote or escape".to_owned()),
                }
            }
            "binary" => CopyFormat::Binary,
            other => CopyFormat::NotUnderstood(format!("format {other}")),
        }
    }
}

/// An option's value; none means true.
fn text(node: Node<'_>) -> Option<String> {
    if let Node::String(s) = node {
        s.sval().map(str::to_owned)
    } else if let Node::Boolean(b) = node {
        Some(b.boolval.to_string())
    } else if let Node::Integer(i) = node {
        Some(i.ival.to_string())
    } else {
        query::constant(node)
    }
}
