"""New certificates for a node that cannot issue them itself: it asks a control node, as the node that it is."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509

from appliance import paths
from appliance.installation import joining
from appliance.installation.join_messages import CertifyAnswer, CertifyRequest
from appliance.node_file import NodeFile
from appliance.pki import requests, upkeep
from appliance.pki.authority import Pair


def renew(node: NodeFile, now: datetime | None = None) -> tuple[str, ...]:
    """Get what is missing or due; return the names of the pairs that changed.

    Nothing is asked on a server that stands alone or holds the authority's key. Raises Refused, JoinImpossible.
    """
    if node.address is None or upkeep.load_authority() is not None:
        return ()
    issuer = x509.load_pem_x509_certificate((paths.PKI / "ca.crt").read_bytes())
    moment = now or datetime.now(UTC)
    due = [want for want in upkeep.wanted(node, ()) if upkeep.due(want, want.slot.read(), issuer, moment)]
    if not due:
        return ()
    private = {want.slot.name: requests.new_key() for want in due}
    asked = CertifyRequest(requests={name: requests.request(key) for name, key in private.items()})
    answer = joining.ask(joining.control_addresses(), asked, CertifyAnswer, joining.own_trust())
    changed = []
    for want in due:
        certificate = answer.certificates.get(want.slot.name)
        if certificate is not None:
            want.slot.write(Pair(certificate.encode("ascii"), private[want.slot.name]))
            changed.append(want.slot.name)
    return tuple(changed)
