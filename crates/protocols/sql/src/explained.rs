//! What becomes of a text, taken apart: what would be sent, and what each column of its results is made of.
use crate::{Asking, Meaning, Reveals};
use doorward_enforce::{MaskRule, Refusal, Subject};
use doorward_model::{Facts, Operator};
use doorward_sql::{Lineage, Output, SourceColumn};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What becomes of a text under the policies and the schema of the moment. Nothing was sent, and nothing written down.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Who asks, with all tags that policies see.
    pub subject: Arc<Subject>,
    /// The rights that it asks for.
    pub facts: Arc<Facts>,
    /// What would be sent once policies allow it, or why nothing may be, whatever they say of its rights.
    pub sent: Result<Sent, Refusal>,
    /// The columns of its results.
    pub columns: Vec<Shown>,
    /// Kinds of values that are looked for in columns that are not masked.
    pub scans: BTreeMap<String, Operator>,
}

/// What would be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The text.
    pub text: String,
    /// Whether it was written otherwise because of hidden columns.
    pub is_rewritten: bool,
}

/// One column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Which statement of the text, from 1.
    pub statement: usize,
    /// Its place in the result, from 1. None: one or more columns of a `*` whose relation is not known.
    pub place: Option<usize>,
    /// The columns that it is made of; empty where it is made of none.
    pub made_of: BTreeSet<SourceColumn>,
    /// How it is masked, where it is one of these columns as it is.
    pub mask: Option<Arc<MaskRule>>,
}

/// The columns of the results of a text.
pub fn columns<P: Default>(meaning: &Meaning, reveals: &mut Reveals<P>, asking: &mut Asking<'_>) -> Vec<Shown> {
    let mut out = Vec::new();
    for (statement, part) in (1..).zip(&meaning.parts) {
        let copied = part.copy.as_ref().filter(|copy| copy.out).map(|copy| &copy.lineage);
        let Some(lineage) = copied.or(part.lineage.as_deref()) else { continue };
        let first_star = lineage.outputs.iter().position(|o| *o == Output::Star).unwrap_or(usize::MAX);
        for (index, output) in lineage.outputs.iter().enumerate() {
            let made_of = made_of(output, lineage).clone();
            let mask = reveals.sources(&made_of, asking);
            out.push(Shown { statement, place: (index < first_star).then_some(index + 1), made_of, mask });
        }
    }
    out
}

const fn made_of<'l>(output: &'l Output, lineage: &'l Lineage) -> &'l BTreeSet<SourceColumn> {
    match output {
        Output::Made(sources) => sources,
        Output::Star => &lineage.anywhere,
    }
}

/// Kinds of values that are looked for, and what replaces them.
pub fn scans<P: Default>(reveals: &mut Reveals<P>, asking: &mut Asking<'_>) -> BTreeMap<String, Operator> {
    let text = reveals.text_masking(asking);
    text.rules.iter().map(|(kind, rule)| (kind.as_str().to_owned(), rule.operator.clone())).collect()
}
