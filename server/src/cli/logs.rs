//! `halo logs templates FILE --out OUT`: which template each line of a log was printed from.

use clap::{Args, Subcommand};
use engine::features::{TemplateConfig, TemplateId, Templates};
use engine::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Bytes of a line that are kept: far more than a template is made from.
const LONGEST_LINE: usize = 64 << 10;
/// Lines between two words of progress.
const PROGRESS: usize = 1_000_000;
/// Bytes read at once.
const CHUNK: usize = 256 << 10;

/// Arguments of `halo logs`.
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    #[command(subcommand)]
    command: LogsCommand,
}

#[derive(Debug, Subcommand)]
enum LogsCommand {
    /// Find the templates that the lines of a file were printed from
    Templates(TemplatesArgs),
}

#[derive(Debug, Args)]
struct TemplatesArgs {
    /// File with one message a line, unpacked if its name ends in .gz; - is standard input
    file: PathBuf,
    /// Directory to write lines.csv (line_id,template_id) and templates.csv (template_id,template,count) into; made if missing
    #[arg(long)]
    out: PathBuf,
}

/// Finds templates and prints how many; 2 and a message when it cannot, whatever the reason.
pub(super) fn run(args: &LogsArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let LogsCommand::Templates(args) = &args.command;
    match templates(args) {
        Ok(summary) => {
            writeln!(out, "{summary}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            // Nothing is left to tell when standard error is closed.
            let _ = writeln!(io::stderr(), "halo: {error}");
            Ok(ExitCode::from(2))
        }
    }
}

fn templates(args: &TemplatesArgs) -> Result<String> {
    let place = args.file.display().to_string();
    let mut reader = open(&args.file)?;
    std::fs::create_dir_all(&args.out).map_err(|error| Error::io("the folder cannot be made", &args.out, error))?;
    let mut templates = Templates::new(TemplateConfig::default());
    // Of each line the template that it was first taken for: which it is in the end, all lines have to say.
    let mut found: Vec<TemplateId> = Vec::new();
    let mut replaced = 0;
    let mut line = Vec::new();
    loop {
        let is_there = next_line(&mut *reader, &mut line).map_err(|error| Error::Input {
            place: format!("{place}:{}", found.len() + 1),
            message: format!("cannot be read: {error}"),
        })?;
        if !is_there {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        replaced += usize::from(matches!(text, std::borrow::Cow::Owned(_)));
        found.push(templates.learn(&text));
        if found.len().is_multiple_of(PROGRESS) {
            // Progress is for people; a closed standard error must not end the work.
            let _ = writeln!(io::stderr(), "{} lines, {} templates", found.len(), templates.len());
        }
    }
    write_file(&args.out.join("lines.csv"), |file| {
        writeln!(file, "line_id,template_id")?;
        for (line, id) in (1_u64..).zip(&found) {
            writeln!(file, "{line},{}", templates.resolve(*id).0)?;
        }
        Ok(())
    })?;
    write_file(&args.out.join("templates.csv"), |file| {
        let mut file = csv::Writer::from_writer(file);
        file.write_record(["template_id", "template", "count"])?;
        for id in templates.ids() {
            let (number, count) = (id.0.to_string(), templates.count(id).to_string());
            file.write_record([&number, &templates.text(id), &count])?;
        }
        file.flush()
    })?;
    Ok(summary(&templates, found.len(), replaced))
}

fn summary(templates: &Templates, lines: usize, replaced: usize) -> String {
    let mut text = format!("{lines} lines, {} templates", templates.len());
    if replaced > 0 {
        text += &format!("; {replaced} lines were not UTF-8, and what was wrong in them was replaced");
    }
    if let Some(rest) = templates.catch_all() {
        text += &format!(
            "; {} lines had no room and are template {}",
            templates.count(rest),
            rest.0
        );
    }
    text
}

fn open(file: &Path) -> Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::with_capacity(CHUNK, io::stdin())));
    }
    let opened = File::open(file).map_err(|error| Error::Input {
        place: file.display().to_string(),
        message: format!("cannot be opened: {error}"),
    })?;
    let is_packed = file.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz"));
    Ok(if is_packed {
        Box::new(BufReader::with_capacity(CHUNK, MultiGzDecoder::new(opened)))
    } else {
        Box::new(BufReader::with_capacity(CHUNK, opened))
    })
}

/// Reads a line without its end into `line`; of a long one its beginning. False at the end of the file.
fn next_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut is_there = false;
    loop {
        let bytes = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        if bytes.is_empty() {
            break;
        }
        is_there = true;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let own = &bytes[..end.unwrap_or(bytes.len())];
        line.extend_from_slice(&own[..own.len().min(LONGEST_LINE - line.len())]);
        let used = own.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            break;
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(is_there)
}

fn write_file(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<()> {
    let done = File::create(path).and_then(|file| {
        let mut file = BufWriter::new(file);
        write(&mut file)?;
        file.flush()
    });
    done.map_err(|error| Error::io("cannot be written", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn run_on(content: &[u8], name: &str) -> (Result<String>, String, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(name);
        fs::write(&file, content).expect("it can be written");
        let args = TemplatesArgs {
            file,
            out: folder.path().join("a/b"),
        };
        let outcome = templates(&args);
        let text = |name: &str| fs::read_to_string(args.out.join(name)).unwrap_or_default();
        (outcome, text("lines.csv"), text("templates.csv"))
    }

    #[test]
    fn lines_name_the_templates_they_end_up_in() {
        let content = b"refused for ann at \"gate\"\nup\r\nrefused for bob at \"gate\"\n\nrefused for eve at \"gate\"";
        let (outcome, lines, templates) = run_on(content, "app.log");
        assert_eq!(outcome.expect("it is a file"), "5 lines, 3 templates");
        assert_eq!(lines, "line_id,template_id\n1,0\n2,1\n3,0\n4,3\n5,0\n");
        let expected = "template_id,template,count\n0,\"refused for <*> at \"\"gate\"\"\",3\n1,up,1\n3,,1\n";
        assert_eq!(templates, expected);
    }

    #[test]
    fn packed_files_are_unpacked_and_bad_bytes_replaced() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(b"up\n\xff down\n").expect("memory");
        let packed = packer.finish().expect("memory");
        let (outcome, lines, _) = run_on(&packed, "app.log.gz");
        assert!(outcome.expect("it is a file").contains("1 lines were not UTF-8"));
        assert_eq!(lines, "line_id,template_id\n1,0\n2,1\n");
        let (outcome, ..) = run_on(&packed[..packed.len() - 9], "app.log.gz");
        let message = outcome.expect_err("its end is missing").to_string();
        assert!(message.contains("app.log.gz:"), "{message}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let args = TemplatesArgs {
            file: folder.path().join("none.log"),
            out: folder.path().join("out"),
        };
        let message = templates(&args).expect_err("there is none").to_string();
        assert!(message.contains("none.log"), "{message}");
        assert!(!args.out.exists());
    }

    #[test]
    fn long_lines_are_read_in_bounded_memory() {
        let mut content = vec![b'a'; 3 * LONGEST_LINE];
        content.extend_from_slice(b"\nup");
        let mut line = Vec::new();
        let mut reader = BufReader::with_capacity(1000, content.as_slice());
        assert!(next_line(&mut reader, &mut line).expect("memory"));
        assert_eq!(line.len(), LONGEST_LINE);
        assert!(next_line(&mut reader, &mut line).expect("memory"));
        assert_eq!(line, b"up");
        assert!(!next_line(&mut reader, &mut line).expect("memory"));
    }
}
