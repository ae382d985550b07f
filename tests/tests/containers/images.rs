//! What the images are.

use ringmeter_tests::container::podman_ok;

use super::{AGENT_IMAGE, APP_IMAGE, Pod, Volumes};

#[test]
fn images_are_small_static_and_not_root() {
    for image in [AGENT_IMAGE, APP_IMAGE] {
        let inspect = |template| podman_ok(&["image", "inspect", "--format", template, image]);
        let size_bytes: u64 = inspect("{{.Size}}").parse().expect("a size");
        println!("{image}: {size_bytes} bytes");
        assert!(size_bytes < 15 << 20, "{size_bytes}");
        assert!(inspect("{{.Config.User}}").starts_with("6553"), "not root");
    }
}

#[test]
fn the_health_check_of_the_image_tells_a_stopped_agent() {
    let check = "{{.HealthCheck.Test}}";
    let check = podman_ok(&["image", "inspect", "--format", check, AGENT_IMAGE]);
    assert_eq!(check, "[CMD /ringmeter healthcheck]");
    let pod = Pod::new(Volumes::hardened());
    let agent = pod.start_agent();
    assert!(agent.is_healthy(), "{}", agent.log());
    agent.signal("STOP");
    assert!(!agent.is_healthy(), "nobody answers");
    agent.signal("CONT");
    agent.wait_until_answers(pod.agent, "/-/ready");
    assert!(agent.is_healthy(), "{}", agent.log());
}
