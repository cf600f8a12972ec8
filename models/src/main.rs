//! models list
//! models run NAME SCHEDULES [CONTROL]
//!
//! `list` prints name, controls and claim, separated by tabs. `run` ends with 0 if the model held; the last line of its
//! output says how many schedules were run.

use std::process::ExitCode;
use std::time::Instant;

use annals::models;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let all = models::all();
    match arguments[..] {
        ["list"] => {
            for model in &all {
                println!("{}\t{}\t{}", model.name, model.controls.join(" "), model.claim);
            }
            ExitCode::SUCCESS
        }
        ["run", name, schedules, ref control @ ..] if control.len() < 2 => {
            let Some(model) = all.iter().find(|model| model.name == name) else {
                eprintln!("there is no model {name:?}");
                return ExitCode::from(2);
            };
            let Ok(schedules) = schedules.parse() else {
                eprintln!("{schedules:?} is no number of schedules");
                return ExitCode::from(2);
            };
            let begun = Instant::now();
            let held = std::panic::catch_unwind(|| models::run(model, schedules, control.first().copied())).is_ok();
            let all = if models::IS_EXHAUSTIVE && held { ", all there are" } else { "" };
            let took = begun.elapsed().as_secs_f64();
            println!("{} after {} schedules{all}, {took:.1} s", if held { "held" } else { "FAILED" }, models::schedules());
            if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        _ => {
            eprintln!("usage: models list | models run NAME SCHEDULES [CONTROL]");
            ExitCode::from(2)
        }
    }
}
