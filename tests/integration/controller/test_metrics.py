"""The controller's figures, over HTTP as Prometheus reads them."""

from __future__ import annotations

import threading
import urllib.request

from appliance.cluster.names import NodeName
from controller.controller import Controller
from controller.fencing.desk import FenceDesk
from controller.metrics import serve
from tests.integration.controller.stage import Stage
from tests.integration.store_process import free_port


def test_the_figures_tell_who_leads_and_what_is_placed(stage: Stage) -> None:
    stage.node("a")
    stage.group("one", "a")
    stage.group("two", "nowhere")
    bell, ended = threading.Event(), threading.Event()
    controller = Controller(NodeName("a"), stage.store, FenceDesk(bell.set), bell)
    thread = threading.Thread(target=controller.run, args=(ended, lambda: None))
    thread.start()
    port = free_port()
    metrics = serve(controller, port)
    try:
        stage.wait_owned({"one": "a"})
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    finally:
        metrics.close()
        ended.set()
        bell.set()
        thread.join(10)
    assert "posthouse_controller_leads 1.0" in lines
    assert "posthouse_groups_placed 1.0" in lines
    assert "posthouse_groups_nowhere 1.0" in lines
    assert 'posthouse_grants_total{basis="unowned"} 1.0' in lines
