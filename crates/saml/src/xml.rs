//! XML as far as SAML needs it: one document, bounded in every direction, without DTD and processing instructions.
use roxmltree::{Document, Node, ParsingOptions};

/// The largest document, in bytes.
pub(crate) const MAX_DOCUMENT: usize = 256 * 1024;
const MAX_DEPTH: usize = 32;
const MAX_NODES: u32 = 20_000;
/// Of one element: readers compare each with each.
const MAX_ATTRIBUTES: usize = 64;
/// In the whole document: readers keep a list of all that are in force for each element that adds one.
const MAX_DECLARATIONS: usize = 2048;

/// Why a text is not taken for a document. Nothing of the text is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// More bytes than [`MAX_DOCUMENT`].
    #[error("it is larger than 256 KiB")]
    TooLarge,
    /// Bytes that are no text.
    #[error("it is not UTF-8")]
    NotText,
    /// A document type, and with it entities, which nobody needs for SAML.
    #[error("it has a DOCTYPE")]
    Doctype,
    /// `<?…?>` beside the declaration at the beginning.
    #[error("it has a processing instruction")]
    Instruction,
    /// Nested, or with more parts, than anything that is meant well.
    #[error("it has too many {0}")]
    TooMany(&'static str),
    /// Two elements claim one identity: a reference to it could mean either.
    #[error("two elements have the same ID")]
    DuplicateId,
    /// Not well-formed.
    #[error("it is not well-formed XML at line {line}, column {column}")]
    Malformed {
        /// Counted from 1.
        line: u32,
        /// Counted from 1.
        column: u32,
    },
}

/// The bytes as text, if they are not too many.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, XmlError> {
    if bytes.len() > MAX_DOCUMENT {
        return Err(XmlError::TooLarge);
    }
    std::str::from_utf8(bytes).map_err(|_| XmlError::NotText)
}

/// Reads a document.
pub(crate) fn parse(text: &str) -> Result<Document<'_>, XmlError> {
    if text.len() > MAX_DOCUMENT {
        return Err(XmlError::TooLarge);
    }
    bounded(text)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|e| {
        if matches!(e, roxmltree::Error::NodesLimitReached) {
            return XmlError::TooMany("nodes");
        }
        XmlError::Malformed { line: e.pos().row, column: e.pos().col }
    })?;
    if document.descendants().any(|n| n.is_pi()) {
        return Err(XmlError::Instruction);
    }
    shallow(&document)?;
    unique_ids(&document)?;
    Ok(document)
}

/// Whatever a reader may take for an identity is there once: `ID`, `Id`, `id`, `xml:id`.
fn unique_ids(document: &Document<'_>) -> Result<(), XmlError> {
    let mut seen = std::collections::HashSet::new();
    let attributes = document.descendants().flat_map(|n| n.attributes());
    for id in attributes.filter(|a| a.name().eq_ignore_ascii_case("id")) {
        if !seen.insert(id.value()) {
            return Err(XmlError::DuplicateId);
        }
    }
    Ok(())
}

/// The tree itself is as shallow as the text was taken for: whoever goes through it may do so by calling himself.
fn shallow(document: &Document<'_>) -> Result<(), XmlError> {
    let mut depths: std::collections::HashMap<roxmltree::NodeId, usize> = std::collections::HashMap::new();
    for element in document.descendants().filter(Node::is_element) {
        let above = element.parent().and_then(|p| depths.get(&p.id()).copied()).unwrap_or(0);
        let depth = above.saturating_add(1);
        if depth > MAX_DEPTH {
            return Err(XmlError::TooMany("levels"));
        }
        if element.attributes().count() > MAX_ATTRIBUTES {
            return Err(XmlError::TooMany("attributes"));
        }
        depths.insert(element.id(), depth);
    }
    Ok(())
}

/// What follows the declaration of XML at the beginning.
fn declaration(tag: &str) -> &str {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in tag.char_indices() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '>') if before == '?' => return tag.get(at.saturating_add(1)..).unwrap_or_default(),
            (Some(_) | None, _) => {}
        }
        before = c;
    }
    ""
}

/// Looks through the tags before a tree is made of them, as a tree of a hostile text may be much larger than the text.
fn bounded(text: &str) -> Result<(), XmlError> {
    if text.matches("xmlns").count() > MAX_DECLARATIONS {
        return Err(XmlError::TooMany("namespace declarations"));
    }
    let (mut depth, mut rest) = (0_usize, text);
    while let Some((_, tag)) = rest.split_once('<') {
        // A comment or a section that never ends is for the reader to refuse.
        let past = |end: &str| tag.split_once(end).map_or("", |(_, after)| after);
        rest = if let Some(comment) = tag.strip_prefix("!--") {
            // What ends it is behind what begins it: `<!-->` does not.
            comment.split_once("-->").map_or("", |(_, after)| after)
        } else if let Some(section) = tag.strip_prefix("![CDATA[") {
            section.split_once("]]>").map_or("", |(_, after)| after)
        } else if tag.starts_with("?xml ") && rest.len() == text.len() {
            // In the declaration, what is quoted ends nothing.
            declaration(tag)
        } else if tag.starts_with('?') {
            past("?>")
        } else if tag.starts_with('!') {
            return Err(XmlError::Doctype);
        } else if tag.starts_with('/') {
            depth = depth.saturating_sub(1);
            past(">")
        } else {
            let (after, empty) = start_tag(tag)?;
            depth = if empty { depth } else { depth.saturating_add(1) };
            after
        };
        if depth > MAX_DEPTH {
            return Err(XmlError::TooMany("levels"));
        }
    }
    Ok(())
}

/// What follows a start tag, and whether the element is empty.
fn start_tag(tag: &str) -> Result<(&str, bool), XmlError> {
    let (mut quote, mut attributes, mut before) = (None, 0_usize, ' ');
    for (at, c) in tag.char_indices() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                attributes = attributes.saturating_add(1);
                if attributes > MAX_ATTRIBUTES {
                    return Err(XmlError::TooMany("attributes"));
                }
            }
            (None, '>') => return Ok((tag.get(at.saturating_add(1)..).unwrap_or_default(), before == '/')),
            (Some(_) | None, _) => {}
        }
        before = c;
    }
    Ok(("", true))
}

/// The child elements.
pub(crate) fn children<'a, 'i>(node: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(Node::is_element)
}

/// The child elements of a name.
pub(crate) fn named<'a, 'i>(node: Node<'a, 'i>, ns: &str, name: &str) -> impl Iterator<Item = Node<'a, 'i>> {
    children(node).filter(move |n| n.has_tag_name((ns, name)))
}

/// The one child element of a name: none, or more than one, is nothing.
pub(crate) fn only<'a, 'i>(node: Node<'a, 'i>, ns: &str, name: &str) -> Option<Node<'a, 'i>> {
    let mut found = named(node, ns, name);
    found.next().filter(|_| found.next().is_none())
}

/// The whole text of an element that has nothing but text. A comment within does not cut it: what is read of it is what
/// was signed, and signatures leave comments out.
pub(crate) fn content(node: Node<'_, '_>) -> Option<String> {
    let plain = node.children().all(|n| n.is_text() || n.is_comment());
    plain.then(|| node.children().filter(Node::is_text).filter_map(|n| n.text()).collect())
}

/// The prefix of an element, as it is written: trees do not keep it, and canonical XML needs it.
pub(crate) fn prefix<'i>(node: Node<'_, 'i>) -> &'i str {
    let source = node.document().input_text();
    // The tree borrows the text that it was made of, and begins an element at its `<`.
    let tag = source.get(node.range()).and_then(|t| t.strip_prefix('<')).unwrap_or_default();
    let name = tag.split(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>').next().unwrap_or_default();
    name.split_once(':').map_or("", |(prefix, _)| prefix)
}

/// The prefix of an attribute, as it is written.
pub(crate) fn attribute_prefix<'i>(node: Node<'_, 'i>, attribute: &roxmltree::Attribute<'_, 'i>) -> &'i str {
    let name = node.document().input_text().get(attribute.range_qname()).unwrap_or_default();
    name.split_once(':').map_or("", |(prefix, _)| prefix)
}

/// A text as XML shows it, also within quotes.
pub(crate) fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> XmlError {
        parse(text).map(|_| ()).unwrap_err()
    }

    #[test]
    fn documents_are_bounded_in_every_direction() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
        assert_eq!(refused(bomb), XmlError::Doctype);
        assert_eq!(refused("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>"), XmlError::Doctype);
        assert_eq!(refused("<a><?x y?></a>"), XmlError::Instruction);
        assert_eq!(refused(&"<a>".repeat(33)), XmlError::TooMany("levels"));
        assert_eq!(refused(&format!("<a>{}</a>", "<!-- </a></a> --><a>".repeat(33))), XmlError::TooMany("levels"));
        assert_eq!(refused(&format!("<a>{}</a>", "<b/>".repeat(30_000))), XmlError::TooMany("nodes"));
        let many: String = (0..65).map(|n| format!(" a{n}='>'")).collect();
        assert_eq!(refused(&format!("<a{many}/>")), XmlError::TooMany("attributes"));
        assert_eq!(
            refused(&format!("<a>{}</a>", "<b xmlns='x'/>".repeat(2049))),
            XmlError::TooMany("namespace declarations")
        );
        assert_eq!(refused(&format!("<a>{}</a>", " ".repeat(MAX_DOCUMENT))), XmlError::TooLarge);
        assert_eq!(refused("<a><b ID='x'/><c><d xml:id='x'/></c></a>"), XmlError::DuplicateId);
        for bad in
            ["", "a", "<a>", "<a><b></a></b>", "<a/><a/>", "<a b=c/>", "<a>&b;</a>", "<b:a/>", "<a><!-- ", "\u{0}"]
        {
            assert!(matches!(refused(bad), XmlError::Malformed { .. }), "{bad}");
        }
        // What a reader and whoever looks through a text before it could take for different things.
        let deep = "<a>".repeat(19_000);
        for odd in [
            format!("<!--><![CDATA[-->{deep}"),
            format!("<!---><![CDATA[-->{deep}"),
            format!("<?xml version='1.0' encoding='?><![CDATA['?>{deep}"),
            format!("<?xml version=\"1.0\" encoding=\"?><!--\"?>{deep}"),
            format!("<r><![CDATA[]]]]><![CDATA[>]]>{deep}"),
        ] {
            let closed = format!("{odd}{}", "</a>".repeat(19_000));
            assert!(parse(&odd).is_err() && parse(&closed).is_err(), "{}", odd.get(..40).unwrap_or_default());
        }
        let many: String = (0..65).map(|n| format!(" a{n}='1'")).collect();
        assert!(parse(&format!("<!--><![CDATA[--><a{many}/>")).is_err());
        parse(&format!("<?xml version='1.0'?>{}{}", "<a x='/>'>".repeat(32), "</a>".repeat(32))).unwrap();
    }

    #[test]
    fn texts_and_prefixes_are_what_is_written() {
        let tree = parse("<x:a xmlns:x='u' x:b='1' c='2'>al<!-- no -->ice<![CDATA[&]]></x:a>").unwrap();
        let root = tree.root_element();
        assert_eq!((content(root).as_deref(), prefix(root)), (Some("alice&"), "x"));
        let prefixes: Vec<&str> = root.attributes().map(|a| attribute_prefix(root, &a)).collect();
        assert_eq!(prefixes, ["x", ""]);
        let tree = parse("<a>b<c/></a>").unwrap();
        assert_eq!((content(tree.root_element()), prefix(tree.root_element())), (None, ""));
    }
}
