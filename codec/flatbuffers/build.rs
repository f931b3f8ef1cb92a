//! Generates the readers and writers of the tables in `wamp.fbs`.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

const SCHEMA: &str = "wamp.fbs";

#[expect(clippy::disallowed_methods, reason = "cargo tells build scripts by the environment where to write")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SCHEMA}");
    println!("cargo::rerun-if-changed=build.rs");
    let declarations = planus_translation::translate_files(&[SCHEMA]).ok_or("the schema has faults")?;
    let code = planus_codegen::generate_rust(&declarations, false)?;
    // The owned tables, which are not used, would derive serde's traits.
    let code = code.replace("::serde::Serialize, ::serde::Deserialize", "");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("wamp.rs"), code)?;
    Ok(())
}
