//! Makes the feature that names the checker the switch that the library knows: a feature of that name would be one of
//! the library too.

fn main() {
    for checker in ["loom", "shuttle"] {
        if std::env::var_os(format!("CARGO_FEATURE_{}", checker.to_uppercase())).is_some() {
            println!("cargo::rustc-cfg=annals_{checker}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
}
