using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Leither.Ipfs.Files;
using Leither.Node.Logging;

namespace Leither.Node.Transport.Tls;

/// <summary>
/// The certificate that a node makes itself, soon after its first start, where none is configured: nobody vouches for it, so clients are told of its file (<c>--cacert</c>) or
/// do not check. It stands for this machine's name and its loopback addresses. Kept in the data folder's <c>tls/</c>, closed to others; a new one is made when its time is nearly over.
/// </summary>
internal static class OwnCertificate
{
    private const string CertificateFile = "node.crt", KeyFile = "node.key";
    private const UnixFileMode PrivateFile = UnixFileMode.UserRead | UnixFileMode.UserWrite, PrivateFolder = PrivateFile | UnixFileMode.UserExecute;
    private const int Years = 5, RenewedDays = 30;

    /// <summary>Whether there is one.</summary>
    public static bool IsIn(string folder) => File.Exists(Path.Combine(folder, CertificateFile)) && File.Exists(Path.Combine(folder, KeyFile));

    /// <summary>Reads it, or makes it.</summary>
    /// <exception cref="IOException">Its file cannot be read or written.</exception>
    public static X509Certificate2 Open(string folder, NodeLog log, TimeProvider clock)
    {
        if (OperatingSystem.IsWindows()) Directory.CreateDirectory(folder);
        else Directory.CreateDirectory(folder, PrivateFolder);
        string path = Path.Combine(folder, CertificateFile), keyPath = Path.Combine(folder, KeyFile);
        if (File.Exists(path) && File.Exists(keyPath))
        {
            if (!OperatingSystem.IsWindows() && (File.GetUnixFileMode(keyPath) & ~PrivateFile) != 0)
            {
                File.SetUnixFileMode(keyPath, PrivateFile);
                log.Warning($"{keyPath} was open to other users of this machine, and is not any more. Delete it, and a new one is made");
            }

            X509Certificate2 kept = X509Certificate2.CreateFromPemFile(path, keyPath);
            if (kept.NotAfter.ToUniversalTime() > clock.GetUtcNow().UtcDateTime.AddDays(RenewedDays)) return kept;
            kept.Dispose();
        }

        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 made = Make(key, clock.GetUtcNow());

        // The key first: a certificate without its key is made again, and so is one whose key is not its own.
        DiskFolder files = DiskFolder.Make(folder);
        string keyText = key.ExportPkcs8PrivateKeyPem(), text = made.ExportCertificatePem();
        File.Delete(path);
        Write(files, KeyFile, keyText);
        Write(files, CertificateFile, text);
        log.Notice($"A certificate for TLS was made: {path}. Clients that are to check it take it as --cacert");
        return X509Certificate2.CreateFromPem(text, keyText);
    }

    private static X509Certificate2 Make(ECDsa key, DateTimeOffset now)
    {
        string host = Dns.GetHostName();
        CertificateRequest request = new($"CN={(host.Length is > 0 and <= 64 && host.All(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.') ? host : "leither")}", key, HashAlgorithmName.SHA256);
        SubjectAlternativeNameBuilder names = new();
        names.AddDnsName("localhost");
        names.AddDnsName("*.ipfs.localhost");
        names.AddDnsName("*.ipns.localhost");
        if (Uri.CheckHostName(host) == UriHostNameType.Dns && host != "localhost") names.AddDnsName(host);
        names.AddIpAddress(IPAddress.Loopback);
        names.AddIpAddress(IPAddress.IPv6Loopback);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1")], false)); // server authentication
        return request.CreateSelfSigned(now.AddDays(-1), now.AddYears(Years));
    }

    private static void Write(DiskFolder files, string name, string text)
    {
        string temporary = name + ".new";
        File.Delete(files.FullName(temporary));
        FileStreamOptions options = new() { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = PrivateFile;
        using (FileStream stream = new(files.FullName(temporary), options))
        {
            stream.Write(System.Text.Encoding.ASCII.GetBytes(text + "\n"));
            stream.Flush(flushToDisk: true);
        }

        files.Rename(temporary, name);
        files.SyncDirectory();
    }
}
