//! tokio mpsc, ractor and kameo: the same work, one actor framework a module.
//!
//! Usage: bench-peers tokio|ractor|kameo WORKLOAD workers=1|2 key=value ...; the last line is one JSON object.
mod kameo_peer;
mod ractor_peer;
mod tokio_peer;
mod work;

use work::Params;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (framework, workload) = match words.as_slice() {
        [framework, workload, ..] => (framework.as_str(), workload.as_str()),
        _ => work::fail("usage: bench-peers tokio|ractor|kameo WORKLOAD workers=N key=value ..."),
    };
    let params = Params::of(&words[2..]);
    let mut runtime = match params.number("workers") {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if params.number("workers") > 1 {
        runtime.worker_threads(params.number("workers"));
    }
    let runtime = runtime.enable_all().build().expect("a tokio runtime");
    let result = runtime.block_on(async {
        match (framework, workload) {
            ("tokio", "ping_pong") => tokio_peer::ping_pong(&params).await,
            ("tokio", "fan_in") => tokio_peer::fan_in(&params).await,
            ("tokio", "ring") => tokio_peer::ring(&params).await,
            ("tokio", "dormant") => tokio_peer::dormant(&params).await,
            ("tokio", "wake") => tokio_peer::wake(&params).await,
            ("ractor", "ping_pong") => ractor_peer::ping_pong(&params).await,
            ("ractor", "fan_in") => ractor_peer::fan_in(&params).await,
            ("ractor", "ring") => ractor_peer::ring(&params).await,
            ("ractor", "dormant") => ractor_peer::dormant(&params).await,
            ("kameo", "ping_pong") => kameo_peer::ping_pong(&params).await,
            ("kameo", "fan_in") => kameo_peer::fan_in(&params).await,
            ("kameo", "ring") => kameo_peer::ring(&params).await,
            ("kameo", "dormant") => kameo_peer::dormant(&params).await,
            _ => work::fail(&format!("{framework} has no workload {workload}")),
        }
    });
    println!("{result}");
    // What is left are actors that wait for ever.
    std::process::exit(0);
}
