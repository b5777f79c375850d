"""`mera download`: what it prints and leaves, on data sets of a server on this machine."""

import hashlib
import io
import zipfile

import pytest
from file_server import FileServer
from prepare_case import run
from ready_python import run_ready
from shared_data import shared_data

from data.prepare.download.catalogue import DATA_SETS, DataSet, RemoteFile
from data.prepare.download.fetch import check_address
from data.prepare.download.run_download import main, unpack
from data.prepare.sources import SOURCES


def zipped(names):
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        for name, text in names.items():
            archive.writestr(name, text)
    return stored.getvalue()


def of_server(server, **more):
    plain = {"name": "some", "title": "Some data", "licence": "CC0; cite X", "page": "https://example.org/some"}
    return [DataSet(**plain | {"files": (RemoteFile(path="in/a.csv", address=server.address("/a.csv")),)} | more)]


def test_a_data_set_says_where_it_is_from_and_what_came(tmp_path, capsys):
    digest = hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    with FileServer({"/a.csv": b"a,b\n1,2\n"}) as server:
        main(["some", "--output", str(tmp_path)], of_server(server, use="mera prepare some --input {folder}"))
        printed = capsys.readouterr().out
    assert (tmp_path / "in" / "a.csv").read_text() == "a,b\n1,2\n"
    assert printed.splitlines() == [
        "some: Some data",
        "licence: CC0; cite X",
        "page: https://example.org/some",
        f"from: {server.address('/a.csv')}",
        f"{tmp_path}/in/a.csv: 8 bytes came; no sha256 was published to check it against; its own is {digest}",
        f"next: mera prepare some --input {tmp_path}",
    ]


def test_the_list_of_the_server_checks_its_files(tmp_path, capsys):
    digest = hashlib.sha256(b"right").hexdigest()
    with FileServer({"/a.csv": b"right", "/sums": f"{digest}  in/a.csv\n".encode()}) as server:
        sets = of_server(server, sums=server.address("/sums"))
        main(["some", "--output", str(tmp_path)], sets)
        assert f"sha256 {digest} as the server's list says" in capsys.readouterr().out
        main(["some", "--output", str(tmp_path)], sets)
        assert "5 bytes was there" in capsys.readouterr().out
        server.does.files["/a.csv"] = b"wrong"
        with pytest.raises(ValueError, match="as published; it was removed"):
            main(["some", "--output", str(tmp_path / "b")], sets)
        server.does.files["/sums"] = b"<html>"
        with pytest.raises(ValueError, match="holds no list of sha256 sums"):
            main(["some", "--output", str(tmp_path / "c")], sets)


def test_a_zip_is_unpacked_and_none_leads_out_of_the_folder(tmp_path, capsys):
    with FileServer(
        {"/a.zip": zipped({"top/x.csv": "1", "y.csv": "2"}), "/b.zip": zipped({"../out.csv": "1"})}
    ) as server:
        for name in "ab":
            file = RemoteFile(path=f"{name}.zip", address=server.address(f"/{name}.zip"), unpack=True)
            sets = of_server(server, files=(file,))
            if name == "a":
                main(["some", "--output", str(tmp_path / "in")], sets)
                assert "unpacked: top, y.csv" in capsys.readouterr().out
                assert (tmp_path / "in" / "top" / "x.csv").read_text() == "1"
            else:
                with pytest.raises(ValueError, match="would lie outside of"):
                    main(["some", "--output", str(tmp_path / "in")], sets)
    assert not (tmp_path / "out.csv").exists()
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 not")
    with pytest.raises(ValueError, match="is damaged"):
        unpack(tmp_path / "bad.zip", tmp_path / "x")


def test_one_that_must_be_asked_for_says_where(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["mimic4", "--output", str(tmp_path / "m")])
    assert end.value.code == 3
    printed = capsys.readouterr().out
    assert "page: https://physionet.org/content/mimiciv/" in printed
    assert "apply for credentialed access" in printed
    assert not (tmp_path / "m").exists()


def test_the_catalogue_is_whole():
    names = {each.name for each in DATA_SETS}
    assert len(names) == len(DATA_SETS)
    assert {source.name for source in SOURCES} - {"meds", "omop", "fhir", "table", "synthetic"} <= names
    for each in DATA_SETS:
        assert bool(each.files) != bool(each.how)
        for file in each.files:
            check_address(file.address)
            assert file.sha256 is None or len(file.sha256) == 64


def test_the_sums_that_we_hold_are_those_that_were_published():
    published = (shared_data("mimic4demo") / "SHA256SUMS.txt").read_text()
    (demo,) = (each for each in DATA_SETS if each.name == "mimic4-demo")
    for file in demo.files:
        assert f"{file.sha256} {file.path}" in " ".join(published.split())


def test_the_command_lists_and_refuses(tmp_path):
    listed = run_ready(["-m", "mera.cli", "download"], cwd=tmp_path)
    assert listed.returncode == 0
    assert "diabetes130" in listed.stdout
    unknown = run_ready(["-m", "mera.cli", "download", "nothing"], cwd=tmp_path)
    assert unknown.returncode == 2
    assert "no data set 'nothing'" in unknown.stderr


def test_what_came_can_be_prepared(tmp_path):
    with FileServer(
        {f"/{name}": (shared_data("eicudemo") / name).read_bytes() for name in ("patient.csv.gz", "diagnosis.csv.gz")}
    ) as server:
        files = tuple(
            RemoteFile(path=name, address=server.address(f"/{name}")) for name in ("patient.csv.gz", "diagnosis.csv.gz")
        )
        main(["some", "--output", str(tmp_path / "e")], of_server(server, files=files))
    (task,) = run("eicu", "--input", tmp_path / "e", "--output", tmp_path / "t")
    assert task.info["source"] == "eicu"
