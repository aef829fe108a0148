//! Good files of a Windows guest, and damage to them.

/// What a target reads: one of the kinds of files, as text or bytes.
#[derive(Debug)]
pub enum WindowsFile {
    /// `agent-config.yml`.
    AgentConfig(Vec<u8>),
    /// `LaunchConfig.json`.
    LaunchConfig(Vec<u8>),
    /// `config.xml`.
    Ec2Config(Vec<u8>),
    /// The values `Triggers` and `Actions` of a task, one behind the other, and where the second starts.
    Task(Vec<u8>, usize),
    /// `gpt.ini`.
    GptIni(Vec<u8>),
    /// `scripts.ini`.
    ScriptsIni(Vec<u8>),
    /// The end of a log.
    Log(Vec<u8>),
}

const YAML: &str = "version: 1.0\nconfig:\n- stage: preReady\n  tasks:\n  - task: setAdminAccount\n    inputs:\n      \
                    password:\n        type: static\n        data: 'old'\n- stage: postReady\n  tasks:\n  - task: x\n";
const FLOW: &str = "{\"version\": 1.1, \"config\": [{\"stage\": \"preReady\", \"tasks\": [{\"task\": \
                    \"setAdminAccount\", \"inputs\": {\"password\": {\"type\": \"doNothing\"}}}]}]}";
const LAUNCH: &str = "{\n  \"setComputerName\": false,\n  \"setWallpaper\": true,\n  \"addDnsSuffixList\": true,\n  \
                      \"extendBootVolumeSize\": true,\n  \"adminPasswordType\": \"DoNothing\",\n  \
                      \"adminPassword\": \"a\\u0062\"\n}\n";
const XML: &str = "<?xml version=\"1.0\"?>\r\n<Ec2ConfigurationSettings><Plugins><Plugin><Name>Ec2SetPassword</Name>\
                   <State>Disabled</State></Plugin><!-- x --><Plugin><Name>A</Name><State>Enabled</State></Plugin>\
                   </Plugins></Ec2ConfigurationSettings>";
const GPT: &str = "[General]\r\ngPCMachineExtensionNames=[{35378EAC-683F-11D2-A89A-00C04FBBCFA2}\
                   {D02B1F72-3407-48AE-BA88-E8213C6761F1}]\r\nVersion=65539\r\n";
const SCRIPTS: &str =
    "\r\n[Startup]\r\n0CmdLine=a.cmd\r\n0Parameters=/x\r\n[Shutdown]\r\n0CmdLine=b.cmd\r\n";
const LOG: &str = "2026/01/31 10:00:09Z: Username: x\r\n2026/01/31 10:00:10Z: Password: <Password>\r\nQUJD\r\n\
                   </Password>\r\n2026-01-31T10:00:11.5Z: Unable to send the password\r\n";

/// The values of a task that can be enabled.
fn task() -> (Vec<u8>, usize) {
    let pad = |mut bytes: Vec<u8>| {
        bytes.resize(bytes.len().next_multiple_of(8), 0x48);
        bytes
    };
    let number = |value: u32| pad(value.to_le_bytes().to_vec());
    let text = |text: &str| utf16(text, u16::to_le_bytes);
    let counted =
        |text: &[u8]| [&u32::try_from(text.len()).unwrap_or(0).to_le_bytes(), text].concat();
    let aligned = |bytes: &[u8]| {
        pad([number(u32::try_from(bytes.len()).unwrap_or(0)), bytes.to_vec()].concat())
    };
    let triggers = [
        number(0x17),
        vec![0; 32],
        number(0x0300_2140),
        number(7),
        aligned(&text("Author")),
        aligned(b""),
        number(0),
        number(0),
        number(5),
        aligned(&[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]),
        aligned(b""),
        aligned(&[0; 0x2c]),
        number(0xffff),
        vec![0; 56],
        number(1),
        number(0),
        number(0),
    ]
    .concat();
    let actions = [
        vec![3, 0],
        counted(&text("Author")),
        vec![0x66, 0x66],
        counted(b""),
        counted(&text("cmd.exe")),
        counted(&text("/C InitializeInstance.ps1")),
        counted(b""),
        vec![0, 0],
    ]
    .concat();
    let start = triggers.len();
    ([triggers, actions].concat(), start)
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

/// The first byte chooses the kind of file, the second how it is made: as it is after them; or a good one, in one
/// of three encodings, with damage by groups of three bytes: an offset (two bytes, little-endian, modulo the
/// length) and the byte that goes there.
pub fn windows_file(bytes: &[u8]) -> Option<WindowsFile> {
    let (&kind, bytes) = bytes.split_first()?;
    let (&how, bytes) = bytes.split_first()?;
    let text = |good: &str| match how % 4 {
        0 => bytes.to_vec(),
        1 => damaged(good.as_bytes().to_vec(), bytes),
        2 => damaged([b"\xff\xfe".as_slice(), &utf16(good, u16::to_le_bytes)].concat(), bytes),
        _ => damaged([b"\xef\xbb\xbf", good.as_bytes()].concat(), bytes),
    };
    Some(match kind % 8 {
        0 => WindowsFile::AgentConfig(text(YAML)),
        1 => WindowsFile::AgentConfig(text(FLOW)),
        2 => WindowsFile::LaunchConfig(text(LAUNCH)),
        3 => WindowsFile::Ec2Config(text(XML)),
        4 => WindowsFile::GptIni(text(GPT)),
        5 => WindowsFile::ScriptsIni(text(SCRIPTS)),
        6 => WindowsFile::Log(text(LOG)),
        _ => {
            let (good, start) = task();
            WindowsFile::Task(
                if how % 4 == 0 { bytes.to_vec() } else { damaged(good, bytes) },
                start,
            )
        }
    })
}

fn damaged(mut good: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    for group in bytes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([group[0], group[1]])) % good.len();
        good[at] = group[2];
    }
    good
}
