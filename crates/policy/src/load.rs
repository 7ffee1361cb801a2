//! Reading policies: parsed, annotations read, checked against the schema.
use crate::{
    SCHEMA, annotations,
    detail::Looks,
    engine::Loaded,
    index::Scope,
    reads::Reads,
    source::{LoadError, Source, pieces},
    tags::Named,
};
use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use doorward_enforce::PolicyInfo;
use doorward_model::Action;
use miette::Diagnostic;
use sha2::{Digest as _, Sha256};
use std::{collections::HashMap, sync::Arc};

/// The stack of the thread that parses: the parser and the checker recurse with the text.
const STACK: usize = 256 * 1024 * 1024;

/// A policy with what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct LoadedPolicy {
    pub(crate) policy: Policy,
    pub(crate) info: Arc<PolicyInfo>,
    pub(crate) scope: Scope,
    pub(crate) reads: Reads,
    /// What of the resource it looks at.
    pub(crate) looks: Looks,
    /// What it calls sensitive: tags and kinds of values.
    pub(crate) names: Named,
}

/// Where a policy stands: its file and the offset of its text there.
struct Spot<'a> {
    source: &'a Source,
    offset: usize,
}

impl Spot<'_> {
    fn error(&self, message: String) -> LoadError {
        LoadError::at(self.source, self.offset, message)
    }

    /// The place that a diagnostic of Cedar points to, counted from the start of the policy.
    fn pointed(&self, diagnostic: &dyn Diagnostic, message: String) -> LoadError {
        let inside = diagnostic.labels().and_then(|mut l| l.next()).map_or(0, |l| l.offset());
        LoadError::at(self.source, self.offset + inside, message)
    }
}

#[derive(Default)]
struct Reading<'a> {
    policies: Vec<LoadedPolicy>,
    spots: HashMap<String, Spot<'a>>,
    errors: Vec<LoadError>,
    warnings: Vec<LoadError>,
}

/// Reads policies and checks them. An empty set is a set: it denies everything.
///
/// # Errors
/// Everything that is wrong with them, each with its place.
pub fn load(sources: &[Source]) -> Result<Loaded, Vec<LoadError>> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("policy-load".into()).stack_size(STACK);
        match thread.spawn_scoped(scope, || read(sources)).map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(vec![LoadError::of_file("policies", "the policy checker failed; this is a bug".into())]),
            Err(e) => Err(vec![LoadError::of_file("policies", format!("cannot be checked: {e}"))]),
        }
    })
}

fn read(sources: &[Source]) -> Result<Loaded, Vec<LoadError>> {
    let (schema, _warnings) =
        Schema::from_cedarschema_str(SCHEMA).map_err(|e| vec![LoadError::of_file("schema", e.to_string())])?;
    let mut reading = Reading::default();
    let mut digest = Sha256::new();
    for source in sources {
        digest.update((source.text.len() as u64).to_be_bytes());
        digest.update(&source.text);
        reading.file(source);
    }
    reading.validate(schema);
    let Reading { policies, errors, mut warnings, .. } = reading;
    if !errors.is_empty() {
        return Err(errors);
    }
    if policies.is_empty() {
        warnings.push(LoadError::of_file("policies", "there is no policy: everything is denied".into()));
    }
    let version = hex::encode(digest.finalize()).get(..12).unwrap_or_default().to_owned();
    Ok(Loaded::new(policies, Arc::from(version), warnings))
}

impl<'a> Reading<'a> {
    fn file(&mut self, source: &'a Source) {
        let pieces = match pieces(&source.text) {
            Ok(pieces) => pieces,
            Err((offset, message)) => return self.errors.push(LoadError::at(source, offset, message)),
        };
        for piece in pieces {
            let spot = Spot { source, offset: piece.start };
            let text = source.text.get(piece).unwrap_or_default();
            match Policy::parse(None, text) {
                Ok(policy) => self.policy(&policy, spot),
                Err(e) => self.errors.extend(e.iter().map(|e| spot.pointed(e, syntax_error(e)))),
            }
        }
    }

    fn policy(&mut self, policy: &Policy, spot: Spot<'a>) {
        let Some(id) = policy.annotation("id").filter(|id| !id.trim().is_empty()) else {
            let message = "the policy has no @id(\"…\"); refusals and the audit log name policies by it";
            return self.errors.push(spot.error(message.into()));
        };
        if let Some(first) = self.spots.get(id) {
            let (line, _) = crate::source::place(&first.source.text, first.offset);
            let message = format!("the @id `{id}` is used twice; the first is at {}:{line}", first.source.name);
            return self.errors.push(spot.error(message));
        }
        match understand(policy, id) {
            Ok((loaded, warnings)) => {
                self.warnings.extend(warnings.into_iter().map(|w| spot.error(format!("policy `{id}`: {w}"))));
                self.policies.push(loaded);
            }
            Err(message) => self.errors.push(spot.error(format!("policy `{id}`: {message}"))),
        }
        self.spots.insert(id.to_owned(), spot);
    }

    fn validate(&mut self, schema: Schema) {
        let set = match PolicySet::from_policies(self.policies.iter().map(|p| p.policy.clone())) {
            Ok(set) => set,
            Err(e) => return self.errors.push(LoadError::of_file("policies", e.to_string())),
        };
        let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
        let problems = result.validation_errors().map(|e| self.found(e.policy_id().as_ref(), e));
        let errors = once_each(problems.collect());
        let oddities = result.validation_warnings().map(|w| self.found(w.policy_id().as_ref(), w));
        let warnings = once_each(oddities.collect());
        self.errors.extend(errors);
        self.warnings.extend(warnings);
    }

    fn found(&self, id: &str, problem: &(impl Diagnostic + std::fmt::Display)) -> LoadError {
        let text = problem.to_string();
        // Cedar begins its messages with the policy.
        let text = text.strip_prefix(&format!("for policy `{id}`, ")).unwrap_or(&text);
        let help = problem.help().map(|h| format!("; {h}")).unwrap_or_default();
        let message = format!("policy `{id}`: {text}{help}");
        match self.spots.get(id) {
            Some(spot) => spot.pointed(problem, message),
            None => LoadError::of_file("policies", message),
        }
    }
}

/// Cedar checks a policy once for each pair of types it may apply to, in no order: a place is named once.
fn once_each(mut problems: Vec<LoadError>) -> Vec<LoadError> {
    problems.sort_by(|a, b| (&a.file, a.at, &a.message).cmp(&(&b.file, b.at, &b.message)));
    problems.dedup_by(|a, b| a.file == b.file && a.at == b.at);
    problems
}

fn syntax_error(e: &dyn Diagnostic) -> String {
    let label = e.labels().and_then(|mut l| l.next()).and_then(|l| l.label().map(ToOwned::to_owned));
    let mut out = e.to_string();
    for more in [label, e.help().map(|h| h.to_string())].into_iter().flatten() {
        out.push_str("; ");
        out.push_str(&more);
    }
    out
}

fn understand(policy: &Policy, id: &str) -> Result<(LoadedPolicy, Vec<String>), String> {
    let json = policy.to_json().map_err(|e| e.to_string())?;
    let (reads, looks) = (Reads::of(&json), Looks::of(&json));
    let scope = Scope::of(policy);
    let info = annotations::understand(policy, id, reads.asks_approval())?;
    let may_be_reveal = scope.actions.as_ref().is_none_or(|a| a.contains(&Action::Reveal));
    let may_ask = reads.asks_approval() || reads.whole();
    let warnings = annotations::idle(policy, may_ask, may_be_reveal);
    let (policy, info, names) = (policy.new_id(PolicyId::new(id)), Arc::new(info), Named::of(&json));
    let loaded = LoadedPolicy { policy, info, scope, reads, looks, names };
    Ok((loaded, warnings))
}
