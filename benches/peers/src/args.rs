//! The command line, read by hand: there is little of it.

use std::path::PathBuf;

pub(crate) const HELP: &str = "\
annals measured against the field.

  peers [OPTIONS]

  --only WORK      append, durable, fanout, fill, read, open, safety, condition, size; commas between
  --peers A,B      these peers only; --list names them
  --events N       events of the filled stores (1,000,000)
  --rounds N       rounds of each measurement (3)
  --seconds S      how long each append is measured (0.3)
  --long           5 rounds of 3 seconds, more kills, and all again with 5,000,000 events
  --directory D    where stores are made, on the disk that is to be measured (target/peers)
  --json FILE      every figure with every round, as JSON lines
  --charts DIR     SVG charts
  --markdown FILE  the page
  --from FILE      measures nothing: table, charts and page from an earlier JSON file
  --list           the peers that are built in
  -h, --help       this

ANNALS_TEST_DATA names a directory of real logs (*.jsonl.zst, a CloudEvents-like JSON object a line).
";

#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) only: Vec<String>,
    pub(crate) peers: Vec<String>,
    pub(crate) events: Option<u64>,
    pub(crate) rounds: Option<usize>,
    pub(crate) seconds: Option<f64>,
    pub(crate) long: bool,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) charts: Option<PathBuf>,
    pub(crate) markdown: Option<PathBuf>,
    pub(crate) from: Option<PathBuf>,
    pub(crate) list: bool,
    pub(crate) help: bool,
}

impl Args {
    pub(crate) fn parse(words: &[String]) -> Result<Args, String> {
        let mut args = Args::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().cloned().ok_or_else(|| format!("{word} wants a value"));
            let list = |text: String| text.split(',').map(str::to_owned).collect::<Vec<_>>();
            match word.as_str() {
                "--only" => args.only.extend(list(value()?)),
                "--peers" => args.peers.extend(list(value()?)),
                "--events" => args.events = Some(number(&value()?)?),
                "--rounds" => args.rounds = Some(number(&value()?)?),
                "--seconds" => args.seconds = Some(number(&value()?)?),
                "--long" => args.long = true,
                "--directory" => args.directory = Some(value()?.into()),
                "--json" => args.json = Some(value()?.into()),
                "--charts" => args.charts = Some(value()?.into()),
                "--markdown" => args.markdown = Some(value()?.into()),
                "--from" => args.from = Some(value()?.into()),
                "--list" => args.list = true,
                "-h" | "--help" => args.help = true,
                other => return Err(format!("unknown option {other}; see --help")),
            }
        }
        Ok(args)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.replace([',', '_'], "").parse().map_err(|_| format!("{text:?} is not a number"))
}
