"""Makes the files of this folder anew: `python -m deploy.demo.files.make_files`.

Everything is invented. Card numbers pass the Luhn check under a prefix that no bank has (629999), identity numbers pass
GB 11643 under a code that no place has (110000), one excepted on purpose. The token's key is made here and thrown away,
so that file and its certificates differ from run to run; all else comes out the same.
"""

import base64
import csv
import datetime as dt
import io
import json
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

FOLDER = Path(__file__).parent
BANK_A, BANK_B = "310000000001", "310000000002"
SHOWN, CALLED = "862166660110", ("8619900000021", "8619900000022")
CALLED_AT = dt.datetime(2026, 11, 20, 10, 15, tzinfo=dt.timezone(dt.timedelta(hours=8)))
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_TN_AUTH_LIST = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.26")
_PROVIDER_CODE = bytes.fromhex("3008a006160443303031")
"""TNAuthorizationList of one service provider code, C001 (RFC 8226 section 9)."""


def card(number: int) -> str:
    """Return a 19-digit card number that passes the Luhn check (ISO/IEC 7812-1 annex B)."""
    stem = f"629999{number:012d}"
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(stem))]
    return stem + str(-sum(value // 10 + value % 10 for value in doubled) % 10)


def citizen(birth: str, number: int) -> str:
    """Return an identity number that passes its checksum (GB 11643-1999)."""
    stem = f"110000{birth}{number:03d}"
    return stem + "10X98765432"[sum(int(digit) * weight for digit, weight in zip(stem, _WEIGHTS, strict=True)) % 11]


HEADER = [
    "序号",
    "账号",
    "户名",
    "证件号码",
    "手机号",
    "账户类型",
    "开户行行号",
    "开户日期",
    "余额",
    "可疑特征",
    "风险评分",
    "交易时间",
    "收付标志",
    "交易金额",
    "对方账号",
    "对方户名",
    "下一跳账号",
    "下一跳行号",
    "IP地址",
    "已采取措施",
    "备注",
]
FEATURES = ("分散入集中出", "连续多笔交易", "分散入集中出;连续多笔交易", "涉案账户", "频繁开户")


def notice_rows() -> list[list[str]]:
    """Return the rows of bank A's export: twelve good ones, one with a bad identity number, one that Excel has ruined."""
    rows = [_notice_row(number) for number in range(1, 15)]
    bad = rows[6][3].strip()
    rows[6][3] = f"{bad[:-1]}{'0' if bad[-1] != '0' else '1'} "
    rows[9][1] = "6.29999E+18"
    return rows


def _notice_row(number: int) -> list[str]:
    hop = card(900_000 + number)
    row = [
        str(number),
        card(100_000 + number),
        f"演示户{number:02d}",
        citizen(f"19{70 + number}0{1 + number % 9}1{number % 10}", 100 + number),
        f"199000001{number:02d}",
        "个人",
        BANK_A,
        f"2026-0{1 + number % 9}-1{number % 10}",
        f"{number * 1234:,}.{number * 7 % 100:02d}",
        FEATURES[number % len(FEATURES)],
        str(60 + number),
        f"2026-11-20 0{number % 10}:1{number % 6}:{10 + number}",
        "支出",
        f"{8000 + number * 500:,}.00",
        hop,
        f"演示下家{number:02d}",
        hop,
        BANK_B if number % 3 else "310000000003",
        f"198.51.100.{number}",
        "只收不付" if number % 2 else "无",
        "入账后一分钟内转出" if number % 4 else "-",
    ]
    if number % 3 == 1:
        row = [f"{cell} " for cell in row]
    if number % 3 == 2:  # noqa: PLR2004 - every third row as Excel guards it
        row[1] = f'="{row[1]}"'
        row[3] = f"{row[3]}\t"
    return row


def notices() -> bytes:
    """Return the export as the bank's system writes it: preamble, padded cells, GB18030, CRLF, a total below."""
    out = io.StringIO()
    out.write("演示银行甲  可疑账户导出清单\r\n导出机构：反诈中心,导出人：演示员\r\n导出时间：2026-11-20 12:00:00\r\n")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([f" {name} " for name in HEADER])
    writer.writerows(notice_rows())
    out.write("合计,14 户\r\n")
    return out.getvalue().encode("gb18030")


def calls() -> bytes:
    """Return telecom C's call records of the number that was shown, and of one that called back."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    out.write("演示电信丙 通话详单\r\n")
    writer.writerow(
        [
            "本机号码",
            "主叫号码",
            "被叫号码",
            "起始时间",
            "通话时长(秒)",
            "通信方式",
            "基站",
            "IMEI",
            "IMSI",
            "通信类型",
            "释放原因",
            "中继",
        ]
    )
    shown = f"0{SHOWN[2:4]}-{SHOWN[4:]}"
    for number in range(8):
        called = f"199000000{21 + number}"
        at = CALLED_AT + dt.timedelta(minutes=7 * number)
        writer.writerow([shown, shown, called, f"{at:%Y-%m-%d %H:%M:%S}", 35 + number * 61, "主叫", "", "000000000000000", "", "语音", "正常", "GW-INTL-07"])  # fmt: skip
    for number in range(3):
        at = CALLED_AT + dt.timedelta(hours=1, minutes=number)
        writer.writerow(["19900000021", "19900000021", shown, f"{at:%Y-%m-%d %H:%M:%S}", f"0:{10 + number}", "主叫", "460-00-1A2B-3C4D", "860000000000021", "460000000000021", "语音", "无人接听", ""])  # fmt: skip
    return out.getvalue().encode("utf-8-sig")


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"), x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(
    subject: str, key: EllipticCurvePrivateKey, issuer: str, issuer_key: EllipticCurvePrivateKey, *, authority: bool
) -> x509.Certificate:
    """Return a certificate in force from 2025 to 2055; a provider's has the numbers it may use (RFC 8226)."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2025, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2055, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
    )
    if not authority:
        builder = builder.add_extension(x509.UnrecognizedExtension(_TN_AUTH_LIST, _PROVIDER_CODE), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def token(key: EllipticCurvePrivateKey) -> str:
    """Return a SHAKEN token (RFC 8225, RFC 8588) for the call, signed with ES256."""
    header = {
        "alg": "ES256",
        "ppt": "shaken",
        "typ": "passport",
        "x5u": "https://certificates.telecom-c.example/telecom-c-passport-cert.pem",
    }
    claims = {
        "attest": "C",
        "dest": {"tn": list(CALLED)},
        "iat": int(CALLED_AT.timestamp()),
        "orig": {"tn": SHOWN},
        "origid": "5a1f4c8e-8f53-4a53-9c61-6f2b7c9e1d07",
    }
    signed = ".".join(_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    r, s = decode_dss_signature(key.sign(signed.encode(), ECDSA(hashes.SHA256())))
    return f"{signed}.{_base64url(r.to_bytes(32) + s.to_bytes(32))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jpeg(words: str) -> bytes:
    """Return a grey JPEG of 64 by 40 points with words in its comment: one block type, one bit for each of its codes."""
    comment = words.encode()
    table = bytes([1, *[0] * 15, 0])
    return b"".join(
        (
            b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00",
            b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment,
            b"\xff\xdb\x00\x43\x00" + bytes([16] * 64),
            b"\xff\xc0\x00\x0b\x08\x00\x28\x00\x40\x01\x01\x11\x00",
            b"\xff\xc4\x00\x14\x00" + table,
            b"\xff\xc4\x00\x14\x10" + table,
            b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + bytes(10),
            b"\xff\xd9",
        )
    )


def pdf(words: str) -> bytes:
    """Return a PDF of one page with one line of words."""
    drawing = f"BT /F1 18 Tf 72 720 Td ({words}) Tj ET".encode()
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def main() -> None:
    """Write every file."""
    authority, provider = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    root = certificate("Demo STI-CA", authority, "Demo STI-CA", authority, authority=True)
    leaf = certificate("Demo telecom-c SHAKEN", provider, "Demo STI-CA", authority, authority=False)
    identity = f"Identity: {token(provider)};info=<https://certificates.telecom-c.example/telecom-c-passport-cert.pem>;"
    files = {
        "bank-a-suspicious-accounts.csv": notices(),
        "telecom-c-calls.csv": calls(),
        "telecom-c-passport.txt": f"{identity}alg=ES256;ppt=shaken\n".encode(),
        "telecom-c-passport-cert.pem": leaf.public_bytes(serialization.Encoding.PEM),
        "telecom-c-passport-ca.pem": root.public_bytes(serialization.Encoding.PEM),
        "01-police-id-1.jpg": jpeg("synthetic scan of police identity card 1"),
        "01-police-id-2.jpg": jpeg("synthetic scan of police identity card 2"),
        "02-freeze-instrument.pdf": pdf("SYNTHETIC FREEZE INSTRUMENT"),
        "03-stop-payment-form.pdf": pdf("SYNTHETIC STOP-PAYMENT FORM"),
    }
    for name, data in files.items():
        (FOLDER / name).write_bytes(data)
        print(f"{name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
