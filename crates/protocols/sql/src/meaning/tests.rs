use super::*;

fn made(column: &str) -> Output {
    Output::Made(BTreeSet::from([source(column)]))
}

fn source(column: &str) -> SourceColumn {
    SourceColumn { schema: "public".into(), table: "t".into(), column: Some(column.into()) }
}

fn analysis(statements: Vec<Statement>) -> Analysis {
    let connect = Access::new(Action::Connect, Resource::Connection);
    Analysis { facts: Arc::new(Facts::new("X", 1, vec![connect])), statements }
}

struct Knows(&'static str, Arc<Analysis>);

impl Known for Knows {
    fn prepared(&self, name: &str) -> Option<Arc<Analysis>> {
        (name == self.0).then(|| Arc::clone(&self.1))
    }
    fn prepared_text(&self, name: &str) -> Option<Arc<str>> {
        (name == self.0).then(|| "its text".into())
    }
    fn cursor(&self, _: &str) -> Option<Cursor> {
        None
    }
}

#[test]
fn outputs_round_a_star_are_found_from_both_ends() {
    let lineage = Lineage {
        outputs: vec![made("a"), Output::Star, made("z")],
        anywhere: BTreeSet::from([source("everything")]),
        ..Lineage::default()
    };
    let shown: Vec<String> =
        (0..5).map(|i| output_sources(&lineage, i, 5).iter().filter_map(|s| s.column.as_deref()).collect()).collect();
    assert_eq!(shown, ["a", "everything", "everything", "everything", "z"]);
}

#[test]
fn a_count_that_does_not_fit_is_not_trusted() {
    let lineage =
        Lineage { outputs: vec![made("a")], anywhere: BTreeSet::from([source("everything")]), ..Lineage::default() };
    assert!(output_sources(&lineage, 0, 2).contains(&source("everything")));
}

#[test]
fn what_stands_by_a_star_is_where_it_was_only_as_the_server_says() {
    let lineage = Lineage {
        outputs: vec![made("a"), made("b"), made("c")],
        anywhere: BTreeSet::from([source("everything")]),
        placed: [(0, "a".into()), (1, "b".into())].into(),
        names_by_place: false,
    };
    assert!(is_in_place(&lineage, 3, |_, _| true));
    assert!(is_in_place(&lineage, 3, |n, sources| sources.contains(&source(["a", "b"][n]))));
    assert!(!is_in_place(&lineage, 3, |n, _| n == 0), "the second is another");
    assert!(!is_in_place(&lineage, 4, |_, _| true), "there are more");
    let by_name = Lineage { placed: std::collections::BTreeMap::new(), ..lineage.clone() };
    assert!(is_in_place(&by_name, 4, |_, _| false));
    assert!(!is_in_place(&Lineage { names_by_place: true, ..by_name }, 3, |_, _| true));
    let unknown = Lineage { outputs: vec![made("a"), Output::Star, made("c")], ..lineage };
    assert!(!is_in_place(&unknown, 3, |_, _| true));
}

#[test]
fn what_is_sent_is_what_was_read() {
    let read = |text: Option<&str>| Statement { text: text.map(|t| t.as_bytes().into()), ..Statement::default() };
    let sent = |statements| Meaning::resolve("a".into(), &analysis(statements), &Nobody).forwarded();
    assert_eq!(sent(vec![read(Some("A")), read(Some("B"))]).as_deref(), Some(&b"A; B"[..]));
    assert_eq!(sent(vec![read(Some("A")), read(None)]), None);
    assert_eq!(sent(vec![]).as_deref(), Some(&b""[..]));
}

#[test]
fn execute_asks_for_what_was_prepared() {
    let drop = Arc::new(Facts::new("DROP", 1, vec![Access::new(Action::Drop, Resource::Connection)]));
    let inner = Arc::new(Analysis { facts: drop, statements: vec![Statement::default()] });
    let run = Statement { references: vec![Reference::Prepared("p".into())], ..Statement::default() };
    let asked = |statements: Vec<Statement>, known: &dyn Known| {
        let meaning = Meaning::resolve("x".into(), &analysis(statements), known);
        assert!(meaning.by_name);
        meaning.facts.accesses.iter().map(|a| a.action).collect::<Vec<_>>()
    };
    assert!(asked(vec![run.clone()], &Nobody).contains(&Action::Opaque));
    assert!(asked(vec![run.clone()], &Knows("p", Arc::clone(&inner))).contains(&Action::Drop));
    let prepare = Effect::Prepare { name: "p".into(), analysis: inner };
    let both = vec![Statement { effects: vec![prepare], ..Statement::default() }, run];
    assert!(asked(both, &Nobody).contains(&Action::Drop));
}
