//! Parameters, results, the ring's order, /proc.
use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The bound that ours has.
pub const MAILBOX: usize = 1000;
pub const BURST: usize = 10;
pub const FLOOD: usize = 100;

pub fn fail(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(2)
}

pub struct Params(HashMap<String, String>);

impl Params {
    pub fn of(words: &[String]) -> Self {
        Self(
            words
                .iter()
                .map(|word| match word.split_once('=') {
                    Some((key, value)) => (key.to_owned(), value.to_owned()),
                    None => fail(&format!("not key=value: {word}")),
                })
                .collect(),
        )
    }

    pub fn text(&self, name: &str) -> &str {
        match self.0.get(name) {
            Some(value) => value,
            None => fail(&format!("{name}= is missing")),
        }
    }

    pub fn real(&self, name: &str) -> f64 {
        match self.text(name).parse() {
            Ok(value) => value,
            Err(_) => fail(&format!("{name} is a number, not {}", self.text(name))),
        }
    }

    pub fn number(&self, name: &str) -> usize {
        self.real(name) as usize
    }

    pub fn flag(&self, name: &str) -> bool {
        self.number(name) == 1
    }

    /// The warm-up's size, a tenth, and the run's.
    pub fn warm(&self, name: &str) -> [usize; 2] {
        let full = self.number(name);
        if !full.is_multiple_of(10) {
            fail(&format!("{name} is a multiple of 10, not {full}"));
        }
        [full / 10, full]
    }
}

pub fn rate(count: usize, began: Instant) -> Value {
    json!({"count": count, "seconds": began.elapsed().as_secs_f64()})
}

pub fn next_link(at: usize, agents: usize) -> usize {
    (4221 * at + 7919) % agents
}

fn read(path: &str) -> String {
    match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => fail(&format!("{path}: {error}")),
    }
}

pub fn rss() -> f64 {
    let text = read("/proc/self/smaps_rollup");
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    match line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok()) {
        Some(kb) => kb * 1024.0,
        None => fail("no Rss"),
    }
}

/// Processor time of all threads, 100 a second.
fn ticks() -> f64 {
    let text = read("/proc/self/stat");
    let fields = text.rsplit(')').next().unwrap_or("").split_whitespace();
    fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum()
}

/// What residents weigh and cost, measured once `before` was taken and all of them wait.
pub async fn resident(params: &Params, before: f64, seconds: f64) -> Value {
    let agents = params.number("agents");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let after = rss();
    let (cpu, idle) = (ticks(), params.real("idle_s"));
    tokio::time::sleep(Duration::from_secs_f64(idle)).await;
    let percent = (ticks() - cpu) / idle;
    json!({
        "count": agents, "seconds": seconds, "bytes_each": (after - before) / agents as f64, "rss_mb": after / 1e6,
        "idle_cpu_percent": percent
    })
}
