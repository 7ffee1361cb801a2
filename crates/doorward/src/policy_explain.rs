//! `doorward policy explain`: of the configuration alone, or through the API of a running gateway.
use crate::{
    BadConfiguration,
    approvals::client,
    cli::{ApiArgs, Output, Who},
    config::Config,
    policy::{load, subject},
};
use anyhow::{Context as _, Result, anyhow, bail};
use doorward_control::{ExplanationView, NewExplanation};
use doorward_detect::{Detector, Masker};
use doorward_enforce::Subject;
use doorward_gateway::explain::{self, Explained, Judges};
use doorward_model::Timestamp;
use doorward_mysql::grammar::Grammar;
use doorward_policy::Engine;
use doorward_sql::{Catalogue, mysql::AnalysisCache, postgres::BIG_STACK};
use std::{path::Path, sync::Arc, time::SystemTime};

/// The server whose dialect is read where it is not known which it is.
const SOME_MYSQL: &str = "9.0.0";

/// What is asked.
pub(crate) struct Question {
    pub(crate) statement: String,
    pub(crate) connection: String,
    pub(crate) database: Option<String>,
    pub(crate) who: Who,
}

/// Asks a running gateway, which knows the schema.
pub(crate) fn live(question: Question, api: &ApiArgs) -> Result<()> {
    let Question { statement, connection, database, who } = question;
    let asked = NewExplanation {
        statement,
        database,
        principal: who.principal,
        groups: who.groups,
        user: who.user,
        person: who.person,
        person_groups: who.person_groups,
    };
    let view = crate::runtime()?
        .block_on(async { Ok::<_, anyhow::Error>(client(api)?.explain(&connection, &asked).await?) })?;
    print(&view, api.output)
}

/// Reads the configuration; no database is asked.
pub(crate) fn offline(question: Question, config: &Path, output: Output) -> Result<()> {
    let config = Config::load(config).context(BadConfiguration)?;
    let engine = Arc::new(Engine::new(load(&config).context(BadConfiguration)?));
    let subject = subject(&config, &question.connection, question.who)?;
    let (judge, statement, database) = (Arc::clone(&engine), question.statement, question.database);
    // Deep statements need a deep stack.
    let read = std::thread::Builder::new()
        .stack_size(BIG_STACK)
        .spawn(move || read(judge, &subject, &statement, database.as_deref()))?;
    let read = read.join().map_err(|_| anyhow!("the statement could not be read"))??;
    let view = match read {
        Ok(explained) => {
            let now = Timestamp::from(SystemTime::now());
            let decided = doorward_policy::explain(&engine, &explained.subject, &explained.facts, now);
            ExplanationView::new(decided, &explained, false)
        }
        Err(refusal) => ExplanationView::unread(&refusal, &engine.loaded().version, false),
    };
    print(&view, output)
}

type Read = Result<Explained, doorward_enforce::Refusal>;

fn read(engine: Arc<Engine>, subject: &Subject, statement: &str, database: Option<&str>) -> Result<Read> {
    // Nothing is masked here, so the key of its hashes is of no use to anybody.
    let judges = Judges { pdp: engine, detector: Arc::new(Detector::new()), masker: Arc::new(Masker::new([0; 32])) };
    let (subject, catalogue) = (subject.clone(), Arc::<Catalogue>::default());
    Ok(match subject.connection.kind.as_str() {
        "postgres" => explain::postgres(&judges, subject, (catalogue, "public", "nobody"), statement),
        "mysql" => {
            let database = database.or(subject.connection.database.as_deref()).map(str::to_owned);
            let reader = Grammar::new(catalogue, false, Arc::new(AnalysisCache::new(1, 1)));
            explain::mysql(&judges, subject, (Arc::new(reader), SOME_MYSQL), database.as_deref(), statement)
        }
        kind => bail!("statements of SQL are explained, and `{}` is of {kind}", subject.connection.name),
    })
}

fn print(view: &ExplanationView, output: Output) -> Result<()> {
    match output {
        Output::Text => print!("{}", printable(&view.to_string())),
        Output::Json => println!("{}", serde_json::to_string_pretty(view)?),
    }
    Ok(())
}

/// Names of a schema are anybody's words: nothing that a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
