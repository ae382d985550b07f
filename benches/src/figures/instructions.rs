//! Instructions per call: not measured here, but counted by callgrind and pinned in the tree,
//! where `make check` compares them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Found;
use crate::error::Outcome;
use crate::figure::Figure;
use crate::setup::Setup;
use crate::statistics::{Goal, Random};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.toml");
/// Calls that are goals of the table.
const WANTED: [&str; 2] = ["counter", "counter_lane"];

#[derive(Deserialize)]
struct Pins {
    toolchain: Toolchain,
    call: BTreeMap<String, Pin>,
}

#[derive(Deserialize)]
struct Toolchain {
    rustc: String,
}

#[derive(Deserialize)]
struct Pin {
    title: String,
    instructions: f64,
    goal: f64,
}

pub(super) fn pinned(_: &Setup, random: &mut Random) -> Outcome<Found> {
    let pins: Pins = toml::from_str(&std::fs::read_to_string(FILE)?)?;
    let compiler = &pins.toolchain.rustc;
    let figure = |(call, pin): (&String, &Pin)| {
        let (id, title) = (format!("instructions-{}", call.replace('_', "-")), pin.title.clone());
        let figure = Figure::of(id, title, "instr.", &[pin.instructions], random)
            .noted(format!("by callgrind, {compiler}; `make check` compares"));
        let is_wanted = WANTED.contains(&call.as_str());
        if is_wanted { figure.wanted(Goal::AtMost(pin.goal)) } else { figure }
    };
    Ok(pins.call.iter().map(figure).collect::<Vec<_>>().into())
}
