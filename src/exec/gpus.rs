//! Which GPUs a run may hand out.

use std::path::Path;

/// The devices of a list such as `0,1` or `GPU-8f6a…,GPU-1b2c…`, as `CUDA_VISIBLE_DEVICES` has it. As with CUDA, what
/// stands after `-1` or after an empty place does not count.
pub fn listed_gpus(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .take_while(|id| !id.is_empty() && *id != "-1")
        .map(str::to_owned)
        .collect()
}

/// The devices of this machine: 0, 1, … as many as the driver shows.
pub fn machine_gpus() -> Vec<String> {
    gpus_below(Path::new("/"))
}

/// Device files come first: in a container only the container's own are there, whatever their numbers, and CUDA counts
/// them from 0.
fn gpus_below(root: &Path) -> Vec<String> {
    let is_device = |name: &str| {
        name.strip_prefix("nvidia")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    let count = match count(&root.join("dev"), is_device) {
        0 => count(&root.join("proc/driver/nvidia/gpus"), |_| true),
        count => count,
    };
    (0..count).map(|id| id.to_string()).collect()
}

fn count(folder: &Path, wanted: impl Fn(&str) -> bool) -> usize {
    fs_err::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(&wanted))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_where_cuda_stops_to_read() {
        assert_eq!(listed_gpus("0, 1"), ["0", "1"]);
        assert_eq!(listed_gpus("GPU-8f,MIG-1/2/3"), ["GPU-8f", "MIG-1/2/3"]);
        assert_eq!(listed_gpus("2,-1,3"), ["2"]);
        assert_eq!(listed_gpus(""), Vec::<String>::new());
        assert_eq!(listed_gpus("-1"), Vec::<String>::new());
    }

    #[test]
    fn device_files_count_and_then_what_the_driver_lists() {
        let root = tempfile::tempdir().expect("a folder");
        assert!(gpus_below(root.path()).is_empty());
        let driver = root.path().join("proc/driver/nvidia/gpus");
        for card in ["0000:01:00.0", "0000:02:00.0", "0000:03:00.0"] {
            fs_err::create_dir_all(driver.join(card)).expect("made");
        }
        assert_eq!(gpus_below(root.path()), ["0", "1", "2"]);
        fs_err::create_dir_all(root.path().join("dev")).expect("made");
        for name in [
            "nvidia3",
            "nvidia7",
            "nvidiactl",
            "nvidia-uvm",
            "nvidia",
            "null",
        ] {
            fs_err::write(root.path().join("dev").join(name), "").expect("written");
        }
        assert_eq!(gpus_below(root.path()), ["0", "1"]);
    }
}
