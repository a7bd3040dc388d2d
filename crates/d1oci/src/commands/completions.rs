//! `d1oci completions`: completion scripts of shells.

use std::path::PathBuf;

use clap_complete::Shell;
use serde::Serialize;

use crate::context::Context;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::files::write_result;

/// Write the completion script of a shell, or install it.
///
/// In bash, zsh and fish, tags, paths in packages and hosts are completed too: the script asks `d1oci`, which asks the store.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci completions bash --install")]
pub(crate) struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
    /// Write the script to the place where the shell looks for it, and make the directory if it does not exist.
    #[arg(long)]
    install: bool,
}

#[derive(Debug, Serialize)]
struct Installed {
    path: String,
}

const BASH: &str = r#"_d1oci() {
    local line=${COMP_LINE:0:COMP_POINT} current word behind='' IFS=$' \t\n'
    local -a words found
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current=${words[${#words[@]}-1]}
    mapfile -t found < <(d1oci complete -- "${words[@]:1}" 2>/dev/null)
    # Bash breaks words at colons, and replaces only the part behind the last one.
    [[ $current == *:* && $COMP_WORDBREAKS == *:* ]] && behind=${current%"${current##*:}"}
    COMPREPLY=()
    for word in "${found[@]}"; do
        # Bash puts the words into the line as they are: names of tags and paths must not become commands.
        printf -v word %q "${word#"$behind"}"
        COMPREPLY+=("$word")
    done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:/] ]] && compopt -o nospace
}
complete -o default -F _d1oci d1oci
"#;

const ZSH: &str = r#"#compdef d1oci
_d1oci() {
    local -a found
    found=("${(@f)$(d1oci complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${#found} -eq 0 || -z ${found[1]} ]]; then
        _files
    else
        compadd -S '' -- "${found[@]}"
    fi
}
_d1oci "$@"
"#;

const FISH: &str = r#"complete -c d1oci -a '(d1oci complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
"#;

pub(crate) fn run(
    context: &Context,
    arguments: &Arguments,
    mut program: clap::Command,
) -> Result<(), Failure> {
    let script = match arguments.shell {
        Shell::Bash => BASH.as_bytes().to_vec(),
        Shell::Zsh => ZSH.as_bytes().to_vec(),
        Shell::Fish => FISH.as_bytes().to_vec(),
        shell => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut program, "d1oci", &mut script);
            script
        }
    };
    if !arguments.install {
        return context.printer.raw(&script);
    }
    let path = place(arguments.shell).ok_or_else(|| {
        Failure::usage(format!("{} has no usual place for completion scripts", arguments.shell))
            .with_hint("write the script to a file, and let the profile of the shell read it")
    })?;
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(|error| Failure::file("create", directory, error))?;
    }
    write_result(&path, &script)?;
    let installed = Installed { path: path.display().to_string() };
    context.printer.result(&installed, |installed, lines| {
        lines.add(format_args!("Wrote `{}`; new shells use it", installed.path));
        if arguments.shell == Shell::Zsh {
            lines.add("zsh looks there if `fpath` in ~/.zshrc has the directory, before `compinit`");
        }
    })
}

/// Returns the place where the shell looks for the script of a user.
fn place(shell: Shell) -> Option<PathBuf> {
    let environment = Environment::of_process();
    match shell {
        Shell::Bash => environment.below_data_home("bash-completion/completions/d1oci"),
        Shell::Zsh => environment.below_data_home("zsh/site-functions/_d1oci"),
        Shell::Fish => environment.below_configuration_home("fish/completions/d1oci.fish"),
        _ => None,
    }
}
