"""One day of two databases, in eight chapters. Each claim in it is checked against the databases
themselves, never against what syncd says of them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from examples.demo import world
from examples.demo.crash import kill_after_first_write
from examples.demo.stage import NotAsClaimed, Stage
from examples.demo.world import Database

HERE = Path(__file__).parent
CRM_ROW = (
    "SELECT id, first_name, last_name, phone, company, credit_limit FROM contacts "
    "WHERE lower(email) = '{}'"
)
ERP_ROW = (
    "SELECT cust_no, display_name, telephone, company_name, credit FROM customers "
    "WHERE lower(mail) = '{}'"
)
LUIS, HELENA, ISABELLE = "luisg@embraer.com.br", "hholy@gmail.com", "isabelle_mercier@apple.fr"
BJORN = "bjorn.hansen@yahoo.no"
STEVE, LADISLAV = "steve.murray@yahoo.uk", "ladislav_kovacs@apple.hu"


@dataclass(frozen=True, slots=True)
class Story:
    stage: Stage
    crm: Database
    erp: Database

    def tell(self) -> None:
        self.config()
        self.first_sight()
        self.both_directions()
        self.conflict()
        self.deletion()
        self.bad_morning()
        self.killed()
        self.proof()

    def config(self) -> None:
        self.stage.chapter(
            1,
            "Two databases that know the same people",
            "A CRM keeps them as `contacts`, an ERP as `customers`: other columns, a name in two "
            "parts or in one, yes and no as a boolean or as Y and N, money as float or decimal.",
        )
        self._show(LUIS)
        text = (HERE / "customers.toml").read_text(encoding="utf-8")
        if not self.erp.url.startswith("sqlite"):
            own = f'url = "env:{world.POSTGRES}"\nschema = "{world.SCHEMA}"'
            text = text.replace('url = "sqlite:///erp.db"', own)
        config = self.stage.folder / "syncd.toml"
        config.write_text(text, encoding="utf-8")
        self.stage.say("syncd.toml, all that syncd is told:")
        for line in text.splitlines():
            self.stage.quote(line)
        before = self._everything()
        self.stage.syncd("check")
        self.stage.claim(
            "the config was proved against the databases, and nothing was written",
            before == self._everything(),
        )

    def first_sight(self) -> None:
        crm, erp = world.crm_people(self.crm), world.erp_people(self.erp)
        both = crm.keys() & erp.keys()
        self.stage.chapter(
            2,
            "First sight: the same people find each other",
            f"The CRM has {len(crm)} people, the ERP {len(erp)}; {len(both)} are in both, six of "
            "them with their e-mail in capitals. Where the two differ, `first` says: the ERP.",
        )
        self.stage.syncd("reconcile", "--dry-run", lines=18)
        self.stage.claim(
            "a dry run changes nothing",
            (crm, erp) == (world.crm_people(self.crm), world.erp_people(self.erp)),
        )
        self.stage.syncd("reconcile", "--yes", lines=18)
        everybody = len(crm.keys() | erp.keys())
        self._equal(everybody)
        self.stage.claim(
            "nobody was doubled: the five that one side lacked are the only new rows; "
            "the CRM's empty credit limits were filled from the ERP",
            self.crm.value("SELECT count(*) FROM contacts") == everybody
            and self.crm.value("SELECT count(*) FROM contacts WHERE credit_limit IS NULL")
            == len(world.CRM_ONLY),
        )
        shouted = "SELECT count(*) FROM customers WHERE mail = upper(mail)"
        self.stage.claim(
            "e-mails in capitals were matched as the same, and left as their owner wrote them",
            self.erp.value(shouted) == len(world.SHOUTED),
        )

    def both_directions(self) -> None:
        self.stage.chapter(
            3,
            "A day's work on both sides",
            "Different people edit different fields of the same person, at the same time:",
        )
        self.stage.edit(
            self.crm,
            f"UPDATE contacts SET phone = '+55 (12) 3923-9999' WHERE email = '{LUIS}'",
        )
        self.stage.edit(
            self.erp,
            f"UPDATE customers SET company_name = 'Embraer S.A.', credit = 900.50 "
            f"WHERE mail = '{LUIS}'",
        )
        self.stage.edit(
            self.erp,
            "UPDATE customers SET display_name = 'Isabelle Mercier-Blanc' "
            f"WHERE mail = '{ISABELLE}'",
        )
        self.stage.syncd("reconcile", "-v")
        self._show(LUIS)
        self._show(ISABELLE)
        self._equal()
        self.stage.claim(
            "the phone went one way, company and credit the other; neither overwrote the other",
            self._crm(LUIS)[3:] == ("+55 (12) 3923-9999", "Embraer S.A.", 900.5)
            and self._erp(LUIS)[2:4] == ("+55 (12) 3923-9999", "Embraer S.A."),
        )
        self.stage.claim(
            "the one name of the ERP became two in the CRM again",
            self._crm(ISABELLE)[1:3] == ("Isabelle", "Mercier-Blanc"),
        )

    def conflict(self) -> None:
        self.stage.chapter(
            4,
            "A conflict that only a person can settle",
            "Both sides write another phone number for the same person. The config says nothing "
            "of phones, so nobody guesses. A third edit, of her company, is no conflict:",
        )
        self.stage.edit(
            self.crm, f"UPDATE contacts SET phone = '+420 111 111' WHERE email = '{HELENA}'"
        )
        self.stage.edit(
            self.erp,
            "UPDATE customers SET telephone = '+420 222 222', company_name = 'Holý a syn' "
            f"WHERE mail = '{HELENA}'",
        )
        self.stage.syncd("reconcile", "-v", exit_code=3)
        self._show(HELENA)
        self.stage.claim(
            "both numbers stand where they were written; her company went through all the same",
            self._crm(HELENA)[3:5] == ("+420 111 111", "Holý a syn")
            and self._erp(HELENA)[2:4] == ("+420 222 222", "Holý a syn"),
        )
        number = self._open_conflict()
        self.stage.syncd("conflicts", "list", exit_code=3, lines=12)
        self.stage.syncd("conflicts", "show", number)
        self.stage.syncd("conflicts", "resolve", number, "--take", "erp", "--by", "ada")
        self.stage.syncd("reconcile", "-v")
        self._show(HELENA)
        self._equal()
        self.stage.claim(
            "the number that was chosen is in both",
            self._crm(HELENA)[3] == self._erp(HELENA)[2] == "+420 222 222",
        )

    def deletion(self) -> None:
        self.stage.chapter(
            5,
            "A deletion travels",
            "`deletes` says propagate. A row is taken for deleted because a whole read of the "
            "table, in one transaction, was without it; an outage never looks like that.",
        )
        before = self.erp.value("SELECT count(*) FROM customers")
        self.stage.edit(self.crm, f"DELETE FROM contacts WHERE email = '{STEVE}'")
        self.stage.syncd("reconcile", "-v")
        self._equal()
        self.stage.claim(
            "one customer fewer in the ERP, and it is that one",
            self.erp.value("SELECT count(*) FROM customers") == before - 1
            and not self.erp.rows(ERP_ROW.format(STEVE)),
        )

    def bad_morning(self) -> None:
        self.stage.chapter(
            6,
            "A bad morning",
            "A script meant for one person strikes the phone numbers of everybody without the "
            "newsletter. Somebody else goes on working:",
        )
        phones = self.erp.rows("SELECT mail, telephone FROM customers ORDER BY 1")
        struck = self.stage.edit(self.crm, "UPDATE contacts SET phone = NULL WHERE NOT newsletter")
        self.stage.edit(
            self.erp, f"UPDATE customers SET credit = 1234.00 WHERE mail = '{LADISLAV}'"
        )
        self.stage.syncd("reconcile", exit_code=3, lines=14)
        self._show(BJORN)
        self.stage.claim(
            "not one phone number of the ERP was touched",
            phones == self.erp.rows("SELECT mail, telephone FROM customers ORDER BY 1"),
        )
        self.stage.claim(
            f"{struck} records wait for a person, the others go on: the new credit came through",
            self._crm(LADISLAV)[5] == 1234.0,
        )
        self.stage.syncd("holds", "list", exit_code=3, lines=12)
        number = self._open_hold()
        self.stage.syncd("holds", "show", number, "--limit", "3")
        self.stage.say("")
        self.stage.say("The person on duty says: put back what was struck.")
        self.stage.syncd("holds", "discard", number, "--revert", lines=12)
        self.stage.syncd("reconcile", lines=14)
        self._show(BJORN)
        self._equal()
        self.stage.claim(
            "every phone number is back in the CRM, and the ERP never lost one",
            phones == self.erp.rows("SELECT mail, telephone FROM customers ORDER BY 1")
            and self.crm.value("SELECT count(*) FROM contacts WHERE phone IS NULL") == 1,
        )

    def killed(self) -> None:
        articles = self.erp.value("SELECT count(*) FROM articles")
        self.stage.chapter(
            7,
            "The power goes, in the middle of writing",
            f"The ERP's catalogue of {articles} tracks is to be in the CRM too, where `products` "
            "is empty. The process is killed (SIGKILL) as soon as its first rows are visible:",
        )
        with (self.stage.folder / "syncd.toml").open("a", encoding="utf-8") as config:
            config.write((HERE / "catalogue.toml").read_text(encoding="utf-8"))
        child = self.stage.start("reconcile", "catalogue", "--yes")
        there = kill_after_first_write(child, self.crm, "products")
        self.stage.say(f"    Killed, with {there} of {articles} products written.")
        self.stage.claim("the process died between its first write and its end", there > 0)
        self.stage.say(
            "The next run finds in its journal what had been sent, asks the database what became "
            "of that, and goes on from there."
        )
        self.stage.syncd("reconcile", "catalogue", "--yes", lines=14)
        ours = "SELECT sku, name, performer FROM products ORDER BY 1"
        theirs = "SELECT article_no, title, artist FROM articles ORDER BY 1"
        self.stage.claim(
            f"{articles} products, each once, none missing, none twice",
            self.crm.rows(ours) == self.erp.rows(theirs),
        )
        self.stage.claim(
            "and none came back to the ERP as something new",
            self.erp.value("SELECT count(*) FROM articles") == articles,
        )

    def proof(self) -> None:
        self.stage.chapter(8, "In the end", "Both sides are the same, and syncd knows it:")
        self._equal()
        before = self._everything()
        self.stage.syncd("reconcile", lines=14)
        self.stage.claim(
            "a further run plans nothing and writes nothing", before == self._everything()
        )
        self.stage.syncd("status", lines=20)
        notes = self.crm.value("SELECT count(*) FROM contacts WHERE notes IS NOT NULL")
        teams = self.erp.value("SELECT count(*) FROM customers WHERE account_manager IS NOT NULL")
        self.stage.claim(
            f"columns syncd was not told of are as their people left them ({notes} notes, "
            f"{teams} account managers)",
            (notes, teams) == (55, 56),
        )

    # -- small helpers -----------------------------------------------------------------------

    def _show(self, mail: str) -> None:
        self.stage.show(self.crm, CRM_ROW.format(mail))
        self.stage.show(self.erp, ERP_ROW.format(mail))

    def _crm(self, mail: str) -> tuple[object, ...]:
        return self.crm.rows(CRM_ROW.format(mail))[0]

    def _erp(self, mail: str) -> tuple[object, ...]:
        return self.erp.rows(ERP_ROW.format(mail))[0]

    def _equal(self, people: int | None = None) -> None:
        crm, erp = world.crm_people(self.crm), world.erp_people(self.erp)
        differences = world.unequal(crm, erp)
        self.stage.claim(
            f"both sides hold the same {len(erp)} people, field by field",
            not differences and (people is None or len(erp) == people),
            "; ".join(differences[:3]),
        )

    def _everything(self) -> list[list[tuple[object, ...]]]:
        return [
            database.rows(f"SELECT * FROM {table} ORDER BY 1")
            for database, tables in (
                (self.crm, ("contacts", "products")),
                (self.erp, ("customers", "articles")),
            )
            for table in tables
        ]

    def _open_conflict(self) -> str:
        (only,) = self.stage.ask("conflicts", "list", exit_code=3)["conflicts"]
        return str(only["id"])

    def _open_hold(self) -> str:
        (only,) = self.stage.ask("holds", "list", exit_code=3)["holds"]
        return str(only["id"])


def play(folder: Path) -> None:
    """Makes the databases in the folder and tells the whole story. Raises NotAsClaimed."""
    mark = folder / ".made-by-the-demo"
    if folder.exists() and any(folder.iterdir()):
        if not mark.exists():
            raise NotAsClaimed(f"{folder} is not empty and not the demo's; name another folder")
        shutil.rmtree(folder)
    (folder / "state").mkdir(parents=True)
    mark.touch()
    crm, erp = world.make(folder)
    Story(Stage(folder), crm, erp).tell()
