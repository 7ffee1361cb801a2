//! Exclusive XML Canonicalization 1.0 without comments (W3C, 18 July 2002): the bytes that are signed.
use crate::xml::{self, XmlError};
use roxmltree::{Node, NodeId};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// What the nearest ancestors in the output say of prefixes; the default namespace has the prefix "".
type Rendered<'a> = BTreeMap<&'a str, &'a str>;

/// What to write, and what to leave out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Canonical<'a> {
    /// The element that is not part of it: the signature itself (`enveloped-signature`).
    pub(crate) without: Option<NodeId>,
    /// The prefixes that are treated as by inclusive canonicalization (`PrefixList`), with `#default` for none.
    pub(crate) inclusive: &'a [&'a str],
}

impl Canonical<'_> {
    /// The bytes of an element and all that is in it.
    ///
    /// # Errors
    /// Where they are more than a document may have: what is said once may have to be written for each of many elements.
    pub(crate) fn of(self, apex: Node<'_, '_>) -> Result<String, XmlError> {
        let mut out = String::new();
        self.element(apex, &Rendered::new(), &mut out)?;
        Ok(out)
    }

    /// Documents are nested 32 deep at most ([`xml::parse`]): this does not overflow a stack.
    fn element<'a>(self, node: Node<'a, 'a>, rendered: &Rendered<'a>, out: &mut String) -> Result<(), XmlError> {
        if out.len() > xml::MAX_DOCUMENT {
            return Err(XmlError::TooLarge);
        }
        let prefix = xml::prefix(node);
        let name =
            |prefix: &str, local: &str| if prefix.is_empty() { local.to_owned() } else { format!("{prefix}:{local}") };
        let tag = name(prefix, node.tag_name().name());
        out.push('<');
        out.push_str(&tag);
        let mut rendered = Cow::Borrowed(rendered);
        for prefix in self.used(node, prefix) {
            let wanted = Some(prefix).filter(|p| !p.is_empty());
            let uri = node.lookup_namespace_uri(wanted).unwrap_or_default();
            let before = rendered.get(prefix).copied();
            // No namespace is what there is before anything is said.
            if before == Some(uri) || (before.is_none() && uri.is_empty()) {
                continue;
            }
            rendered.to_mut().insert(prefix, uri);
            let said = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
            attribute(&said, uri, out);
        }
        let mut attributes: Vec<_> = node.attributes().collect();
        attributes.sort_by_key(|a| (a.namespace().unwrap_or_default(), a.name()));
        for a in attributes {
            attribute(&name(xml::attribute_prefix(node, &a), a.name()), a.value(), out);
        }
        out.push('>');
        for child in node.children() {
            if child.is_element() && Some(child.id()) != self.without {
                self.element(child, &rendered, out)?;
            } else if child.is_text() {
                text(child.text().unwrap_or_default(), out);
            }
        }
        out.push_str("</");
        out.push_str(&tag);
        out.push('>');
        Ok(())
    }

    /// The prefixes that an element and its attributes use, and those that are to be kept; in the order of their names.
    fn used<'a>(self, node: Node<'a, 'a>, own: &'a str) -> BTreeSet<&'a str> {
        let mut used: BTreeSet<&str> = [own].into();
        used.extend(node.attributes().map(|a| xml::attribute_prefix(node, &a)).filter(|p| !p.is_empty()));
        used.extend(node.namespaces().filter_map(|n| {
            let prefix = n.name().unwrap_or_default();
            let listed = if prefix.is_empty() { "#default" } else { prefix };
            self.inclusive.contains(&listed).then_some(prefix)
        }));
        // Everybody knows what it means.
        used.remove("xml");
        used
    }
}

fn attribute(name: &str, value: &str, out: &mut String) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn text(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#xD;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, path: &[&str], inclusive: &[&str], want: &str) {
        let tree = xml::parse(source).unwrap();
        let apex = path.iter().fold(tree.root_element(), |node, name| {
            xml::children(node).find(|n| n.tag_name().name() == *name).unwrap()
        });
        let said = Canonical { without: None, inclusive }.of(apex).unwrap();
        assert_eq!(said, want);
        // What was written means the same, and is written so again.
        let again = xml::parse(&said).unwrap();
        assert_eq!(Canonical { without: None, inclusive }.of(again.root_element()).unwrap(), want);
    }

    #[test]
    fn the_examples_of_the_specification() {
        // Exclusive XML Canonicalization 1.0, section 2.2: one element in two envelopes is written alike.
        let inner = "<n1:elem2 xmlns:n1=\"http://example.net\" xml:lang=\"en\">\n<n3:stuff xmlns:n3=\"ftp://example.org\"/>\n</n1:elem2>";
        let want = "<n1:elem2 xmlns:n1=\"http://example.net\" xml:lang=\"en\">\n<n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff>\n</n1:elem2>";
        let pdu = format!("<n0:pdu xmlns:n0=\"http://a.example\">{inner}</n0:pdu>");
        check(&pdu, &["elem2"], &[], want);
        let local = format!("<n0:local xmlns:n0=\"foo:bar\" xmlns:n3=\"ftp://example.org\">{inner}</n0:local>");
        check(&local, &["elem2"], &[], want);
        // With a list, n0 comes along as inclusive canonicalization has it.
        let n0 = "<n1:elem2 xmlns:n0=\"foo:bar\" xmlns:n1=\"http://example.net\" xml:lang=\"en\">\n<n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff>\n</n1:elem2>";
        check(&local, &["elem2"], &["n0"], n0);
    }

    #[test]
    fn canonical_xml_of_documents() {
        // Canonical XML 1.0, sections 3.2 to 3.4: white space, empty elements, order, escapes.
        check(
            "<d>\n  <e   />\n  <e a='&#9;x\ty' />\r\n</d>",
            &[],
            &[],
            "<d>\n  <e></e>\n  <e a=\"&#x9;x y\"></e>\n</d>",
        );
        let mixed = "<e5 xmlns='' xmlns:b='http://b' xmlns:a='http://a' b:attr='1' attr2='2' attr='3' a:attr='4'/>";
        let sorted =
            "<e5 xmlns:a=\"http://a\" xmlns:b=\"http://b\" attr=\"3\" attr2=\"2\" a:attr=\"4\" b:attr=\"1\"></e5>";
        check(mixed, &[], &[], sorted);
        check("<a>&#xD;&lt;&gt;&amp;&quot;<![CDATA[<x>&]]></a>", &[], &[], "<a>&#xD;&lt;&gt;&amp;\"&lt;x&gt;&amp;</a>");
        check("<a b='\"&lt;&gt;&#10;'><!-- gone --></a>", &[], &[], "<a b=\"&quot;&lt;>&#xA;\"></a>");
    }

    #[test]
    fn what_is_said_once_and_written_often_is_bounded() {
        let long = "u".repeat(100_000);
        let tree =
            xml::parse(Box::leak(format!("<a xmlns:p='{long}'>{}</a>", "<p:b/>".repeat(10_000)).into_boxed_str()))
                .unwrap();
        assert_eq!(Canonical { without: None, inclusive: &[] }.of(tree.root_element()), Err(XmlError::TooLarge));
    }

    #[test]
    fn default_namespaces_are_taken_back() {
        let source = "<a xmlns='u'><b xmlns=''><c xmlns='u'/></b></a>";
        check(source, &[], &[], "<a xmlns=\"u\"><b xmlns=\"\"><c xmlns=\"u\"></c></b></a>");
        check(source, &["b"], &[], "<b><c xmlns=\"u\"></c></b>");
        check(
            "<x:a xmlns:x='u' xmlns='v'><x:b/></x:a>",
            &["b"],
            &["#default"],
            "<x:b xmlns=\"v\" xmlns:x=\"u\"></x:b>",
        );
        // The same prefix for something else, further in.
        let source = "<x:a xmlns:x='u'><x:b xmlns:x='v'><x:c xmlns:x='v'/></x:b></x:a>";
        check(source, &[], &[], "<x:a xmlns:x=\"u\"><x:b xmlns:x=\"v\"><x:c></x:c></x:b></x:a>");
    }
}
