//! The landing page.

use std::fmt::Write;

/// What browsers may do with the page: show it. It has no scripts, images or forms.
pub(super) const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Ringmeter</title>
<style>
body { font-family: sans-serif; margin: 0; color: #222; background: #fff; }
header { background: #0b5563; color: #fff; padding: 1rem 2rem; }
main { padding: 1rem 2rem; }
h1 { margin: 0; font-size: 1.5rem; }
a { color: #0b5563; }
</style>
</head>
<body>
<header><h1>Ringmeter</h1></header>
<main>
<p>Metrics of instrumented processes, collected over shared memory.</p>
";

/// The page, with links to the others. A [`crate::config::TelemetryPath`] has no characters that
/// HTML would need escaped.
pub(super) fn page(telemetry_path: &str) -> String {
    let mut page = String::from(HEAD);
    let links = [
        (telemetry_path, "Metrics"),
        ("/-/healthy", "Health"),
        ("/-/ready", "Readiness"),
        (env!("CARGO_PKG_REPOSITORY"), "Source and documentation"),
    ];
    // Writing to a String cannot fail.
    let _ = writeln!(page, "<p>Version {}</p>\n<ul>", env!("CARGO_PKG_VERSION"));
    for (target, title) in links {
        let _ = writeln!(page, "<li><a href=\"{target}\">{title}</a></li>");
    }
    page.push_str("</ul>\n</main>\n</body>\n</html>\n");
    page
}
