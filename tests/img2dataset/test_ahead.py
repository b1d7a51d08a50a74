"""The process that asks origins ahead of the workers: how far it goes, and that nothing depends on it."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest

from heedful.configuration import Configuration
from heedful.img2dataset._ahead import AHEAD, asking_ahead
from heedful.img2dataset._shard import Guard
from heedful.ledger import start_run
from heedful.testing import File, Picture, Site, Web, serve

NAME = "heedful ahead"


def picture(number):
    return File(Picture(number, "JPEG"), headers=(("Content-Type", "image/jpeg"),))


@pytest.fixture
def guard(tmp_path):
    configuration = Configuration.check(
        token="PictureBot", ledger=tmp_path / "ledger", cache=tmp_path / "cache", now=time.time()
    )
    return Guard(
        configuration=configuration,
        run=start_run(configuration, crawler="img2dataset/0", now=time.time()),
        ledger=str(tmp_path / "ledger"),
        dataset="test",
        private=str(tmp_path / "_heedful"),
        page_col=None,
        tag=False,
        processes=1,
        ahead=True,
    )


@pytest.fixture
def shard(tmp_path):
    """Write a shard's file, as img2dataset's reader does."""
    pa = pytest.importorskip("pyarrow")

    def write(name, *urls):
        path = tmp_path / f"{name}.feather"
        table = pa.table({"url": list(urls)})
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        return str(path)

    return write


@pytest.fixture
def sites():
    """Serve sites of one picture each; tell whether a site's robots.txt has been asked for."""
    web = Web({f"s{number}": Site({"/1.jpg": picture(number + 1)}) for number in range(AHEAD + 3)})
    with serve(web) as served:
        yield served


def asked(served):
    return {hit.site for hit in served.log if hit.path == "/robots.txt"}


def wait_until_asked(served, wanted):
    with served._state:
        assert served._state.wait_for(lambda: wanted <= {hit.site for hit in served._log}, 30)


def running():
    return [child for child in multiprocessing.active_children() if child.name == NAME]


def test_it_goes_so_far_ahead_and_no_further(guard, shard, sites, tmp_path):
    names = list(sites.web.sites)
    shards = [shard(number, sites.url(name, "/1.jpg")) for number, name in enumerate(names)]
    with asking_ahead(guard) as tell:
        for path in shards:
            tell(path)
        wait_until_asked(sites, set(names[: AHEAD + 1]))
        assert asked(sites) == set(names[: AHEAD + 1])
        (tmp_path / "0.feather").unlink()  # it is done
        wait_until_asked(sites, {names[AHEAD + 1]})
        assert names[AHEAD + 2] not in asked(sites)
    assert running() == []


def test_for_one_shard_there_is_no_process(guard, shard, sites):
    with asking_ahead(guard) as tell:
        tell(shard(0, sites.url("s0", "/1.jpg")))
        assert running() == []


def test_a_shard_that_is_gone_is_passed_over(guard, shard, sites, tmp_path):
    with asking_ahead(guard) as tell:
        for path in (shard(0), str(tmp_path / "gone.feather"), shard(2, sites.url("s2", "/1.jpg"))):
            tell(path)
        wait_until_asked(sites, {"s2"})


def test_its_death_is_borne(guard, shard, sites):
    paths = [shard(number, sites.url("s0", "/1.jpg")) for number in range(3)]
    with asking_ahead(guard) as tell:
        tell(paths[0])
        tell(paths[1])
        (process,) = running()
        process.kill()
        process.join()
        tell(paths[2])
    assert running() == []


def test_with_workers_each_file_is_asked_for_once(job, listed, tmp_path):
    """Shards of one picture, two workers: whoever is first, asks; the third shard's before it is begun."""
    third = threading.Event()
    find = Site.find

    class Held(Site):
        def find(self, target):
            if target == "/robots.txt" and self.title == "s3":
                third.set()
            if target == "/1.jpg" and self.title in {"s0", "s1"}:
                assert third.wait(60)
            return find(self, target)

    web = Web({f"s{number}": Held({"/1.jpg": picture(number + 1)}, f"s{number}") for number in range(6)})
    with serve(web) as served:
        urls = [served.url(f"s{number}", "/1.jpg") for number in range(6)]
        job(
            tmp_path,
            url_list=str(listed(*urls)),
            output_folder=str(tmp_path / "data"),
            number_sample_per_shard=1,
            timeout=60,
        )
        paths = [(hit.site, hit.path) for hit in served.log]
    assert len(paths) == len(set(paths))
    assert third.is_set()
