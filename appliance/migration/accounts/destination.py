"""The directory as the place where accounts go, and the same with nothing written, for a dry run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from appliance.directory.addresses import alias_address, any_address, domain_name, mailbox_address, target_address
from appliance.directory.aliases import targets_of
from appliance.directory.model import NewMailbox, Status
from appliance.directory.service import DirectoryService
from appliance.errors import AlreadyExists, BadInput, NotFound
from appliance.migration.accounts.hashes import Password
from appliance.migration.accounts.record import Account


class DirectoryDestination:
    """Writes to the directory."""

    def __init__(self, directory: DirectoryService) -> None:
        self._directory = directory

    def has_domain(self, domain: str) -> bool:
        try:
            self._directory.domains.find(domain)
        except NotFound:
            return False
        return True

    def create_domain(self, domain: str) -> None:
        self._directory.domains.create(domain)

    def has_mailbox(self, address: str) -> bool:
        try:
            self._directory.mailboxes.find(address)
        except NotFound:
            return False
        return True

    def prepare(self, account: Account, password: Password | None) -> Callable[[], NewMailbox]:
        checked, finish = self._directory.mailboxes.unhashed(
            account.address,
            password=password.clear if password else None,
            password_hash=password.labelled if password else None,
            name=account.name or None,
            quota=account.quota,
            status=Status.ACTIVE if account.enabled else Status.DISABLED,
        )
        return lambda: replace(checked, password=finish())

    def create_mailbox(self, wanted: NewMailbox) -> None:
        self._directory.mailboxes.create(wanted)

    def create_alias(self, address: str, targets: tuple[str, ...]) -> None:
        self._directory.aliases.create(address, targets)

    def alias_covers(self, address: str, targets: tuple[str, ...]) -> bool:
        try:
            there = set(self._directory.aliases.find(address).targets)
        except NotFound:
            return False
        return there >= {str(target_address(target)) for target in targets}


class DryRun(DirectoryDestination):
    """Checks all that the directory would, and writes nothing; what it would have made counts as there."""

    def __init__(self, directory: DirectoryService) -> None:
        super().__init__(directory)
        self._made: dict[str, frozenset[str]] = {}
        self._domains: set[str] = set()

    def has_domain(self, domain: str) -> bool:
        return str(domain_name(domain)) in self._domains or super().has_domain(domain)

    def create_domain(self, domain: str) -> None:
        self._domains.add(str(domain_name(domain)))

    def prepare(self, account: Account, password: Password | None) -> Callable[[], NewMailbox]:
        made = mailbox_address(account.address)
        try:
            checked, _ = self._directory.mailboxes.unhashed(
                account.address,
                password=password.clear if password else None,
                password_hash=password.labelled if password else None,
                name=account.name or None,
                quota=account.quota,
            )
        except NotFound:
            if str(made.domain) not in self._domains:
                raise
            checked = NewMailbox(made, 0)
        return lambda: checked

    def create_mailbox(self, wanted: NewMailbox) -> None:
        address = str(wanted.address)
        self._refuse_taken(address)
        self._made[address] = frozenset()

    def create_alias(self, address: str, targets: tuple[str, ...]) -> None:
        made = alias_address(address)
        meant = targets_of(targets, made)
        if not meant:
            raise BadInput("target", "alias-needs-target", address=made.display)
        if not self.has_domain(str(made.domain)):
            raise NotFound("domain-unknown", domain=made.domain.display)
        self._refuse_taken(str(made))
        self._made[str(made)] = frozenset(str(target) for target in meant)

    def alias_covers(self, address: str, targets: tuple[str, ...]) -> bool:
        planned = self._made.get(str(any_address(address)))
        if planned is not None:
            return planned >= {str(target_address(target)) for target in targets}
        return super().alias_covers(address, targets)

    def _refuse_taken(self, address: str) -> None:
        taken = address in self._made or self.has_mailbox(address)
        try:
            self._directory.aliases.find(address)
        except NotFound:
            if not taken:
                return
        raise AlreadyExists("address-exists", address=address)
