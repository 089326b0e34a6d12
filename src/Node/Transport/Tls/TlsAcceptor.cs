using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Leither.MmDb.Configuration;
using Leither.Node.Logging;

namespace Leither.Node.Transport.Tls;

/// <summary>
/// What TLS handshakes need, in the settings of redis.conf: the certificate, whose clients' certificates count, protocols and ciphers; and how many handshakes may go on.
/// <para>
/// Files that changed are read again, within a second, by the next handshake; what cannot be used then leaves what was in force. Connections that are open go on as they are.
/// Without <c>tls-cert-file</c> the node makes a certificate of its own (<see cref="OwnCertificate"/>).
/// </para>
/// </summary>
public sealed class TlsAcceptor
{
    /// <summary>Handshakes at a time; who comes beyond is turned away. Bounds their memory, with the next.</summary>
    public const int MaxHandshakes = 512;

    /// <summary>What a client may send for its handshake: a long chain of certificates has a tenth of that.</summary>
    public const int MaxHandshakeBytes = 128 * 1024;

    /// <summary>How long a handshake may take.</summary>
    public static readonly TimeSpan HandshakeLimit = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan _lookAgain = TimeSpan.FromSeconds(1);

    private readonly object _gate = new();
    private readonly ConfigSettings _settings;
    private readonly string _folder;
    private readonly TimeProvider _clock;
    private SslServerAuthenticationOptions? _options;
    private string _stamp = "";
    private long _lookedAt;
    private int _underWay;

    /// <summary>Creates the acceptor; nothing is read or made before <see cref="Prepare"/> or the first handshake.</summary>
    /// <param name="settings">The node's settings.</param>
    /// <param name="dataFolder">Where a certificate of the node's own is kept.</param>
    /// <param name="log">Where refusals are told.</param>
    /// <param name="clock">Tells when to look at files again.</param>
    public TlsAcceptor(ConfigSettings settings, string dataFolder, NodeLog log, TimeProvider clock)
    {
        _settings = settings;
        _folder = Path.Combine(dataFolder, "tls");
        Log = log;
        _clock = clock;
    }

    /// <summary>Handshakes that ended well.</summary>
    public long Accepted { get; private set; }

    /// <summary>Handshakes that failed, or were turned away.</summary>
    public long Refused { get; private set; }

    /// <summary>Whether plain connections over TCP are turned away: <c>port 0</c> beside a <c>tls-port</c>.</summary>
    public bool IsRequired => _settings.Get(ConfigKeys.Port) == 0 && _settings.Get(ConfigKeys.TlsPort) != 0;

    internal NodeLog Log { get; }

    /// <summary>Reads the settings' files anew: after CONFIG SET, and when the operator asks.</summary>
    /// <returns>Null, or why they cannot be used; then what was in force stays.</returns>
    public string? Reload()
    {
        lock (_gate)
        {
            // Nobody has used TLS yet, and no file is named: the certificate of its own can wait.
            return _options is null && _settings.Get(ConfigKeys.TlsCertFile).Length == 0 && !AsksClients ? null : Load();
        }
    }

    /// <summary>
    /// Makes the node's own certificate where one will be wanted and there is none, so that clients can be told of its file before they connect for the first time. On
    /// any thread but the loop's. What goes wrong is told, and tried again with the first handshake.
    /// </summary>
    public void Prepare()
    {
        lock (_gate)
        {
            if (_options is not null || Text(ConfigKeys.TlsCertFile).Length > 0 || OwnCertificate.IsIn(_folder)) return;
            try
            {
                OwnCertificate.Open(_folder, Log, _clock).Dispose();
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
            {
                Log.Warning($"No certificate for TLS could be made: {e.Message}");
            }
        }
    }

    /// <summary>Whether one more handshake may begin. On the loop thread.</summary>
    internal bool TryBegin()
    {
        if (_underWay >= MaxHandshakes)
        {
            Refused++;
            return false;
        }

        _underWay++;
        return true;
    }

    /// <summary>A handshake ended. On the loop thread.</summary>
    internal void Ended(bool isAccepted)
    {
        _underWay--;
        if (isAccepted) Accepted++;
        else Refused++;
    }

    /// <summary>What handshakes are made with. On any thread but the loop's: files may have to be read.</summary>
    /// <exception cref="IOException">There is no usable certificate.</exception>
    internal SslServerAuthenticationOptions Options()
    {
        lock (_gate)
        {
            long now = _clock.GetTimestamp();
            if (_options is not null && _clock.GetElapsedTime(_lookedAt, now) < _lookAgain)
            {
                return _options;
            }

            _lookedAt = now;
            string? error = _options is not null && Stamp() == _stamp ? null : Load();
            return _options ?? throw new IOException(error);
        }
    }

    private bool AsksClients => _settings.Show(ConfigKeys.TlsAuthClients) != "no";

    private string? Load()
    {
        // Taken before reading: what changes meanwhile is read again.
        _stamp = Stamp();
        try
        {
            _options = Build();
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException or ArgumentException or NotSupportedException)
        {
            string error = $"TLS cannot be configured so: {e.Message}";
            Log.Warning(error + (_options is null ? "" : ". What was in force stays"));
            return error;
        }
    }

    private SslServerAuthenticationOptions Build()
    {
        string mode = _settings.Show(ConfigKeys.TlsAuthClients);
        X509ChainPolicy? clients = mode == "no" ? null : ReadAuthorities();
        var options = new SslServerAuthenticationOptions
        {
            ServerCertificateContext = ReadCertificate(),
            EnabledSslProtocols = ReadProtocols(Text(ConfigKeys.TlsProtocols)),
            CipherSuitesPolicy = TlsCiphers.Read(Text(ConfigKeys.TlsCiphers), Text(ConfigKeys.TlsCipherSuites)),
            ClientCertificateRequired = clients is not null,
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            CertificateChainPolicy = clients,
            EncryptionPolicy = EncryptionPolicy.RequireEncryption,
            AllowRenegotiation = false,
            AllowTlsResume = _settings.Get(ConfigKeys.TlsSessionCaching),

            // Either is served: what is said after the handshake tells. Clients that name neither speak RESP.
            ApplicationProtocols = [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11],
            RemoteCertificateValidationCallback = (_, certificate, _, errors) =>
                clients is null || (certificate is null ? mode == "optional" : errors == SslPolicyErrors.None),
        };
        return options;
    }

    private SslStreamCertificateContext ReadCertificate()
    {
        string file = Text(ConfigKeys.TlsCertFile), keyFile = Text(ConfigKeys.TlsKeyFile), password = Text(ConfigKeys.TlsKeyFilePassword);
        if (file.Length == 0)
        {
            if (keyFile.Length > 0) throw new ArgumentException("tls-key-file is set and tls-cert-file is not");
            return SslStreamCertificateContext.Create(OwnCertificate.Open(_folder, Log, _clock), null, offline: true);
        }

        // As in Redis: a file may hold both.
        if (keyFile.Length == 0) keyFile = file;
        if (!OperatingSystem.IsWindows() && (File.GetUnixFileMode(keyFile) & (UnixFileMode.GroupWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite)) != 0)
        {
            Log.Warning($"{keyFile} is open to other users of this machine: whoever reads it can pass for this node. Close it with chmod 600");
        }

        string key = File.ReadAllText(keyFile);
        X509Certificate2Collection chain = [];
        chain.ImportFromPemFile(file);
        if (chain.Count == 0) throw new CryptographicException($"there is no certificate in {file}");
        string leaf = chain[0].ExportCertificatePem();
        X509Certificate2 certificate = password.Length > 0 ? X509Certificate2.CreateFromEncryptedPem(leaf, key, password) : X509Certificate2.CreateFromPem(leaf, key);
        chain.RemoveAt(0);
        return SslStreamCertificateContext.Create(certificate, chain, offline: true);
    }

    /// <summary>Only the authorities that are named count; the system's do not.</summary>
    private X509ChainPolicy ReadAuthorities()
    {
        X509ChainPolicy policy = new() { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.ApplicationPolicy.Add(new Oid("1.3.6.1.5.5.7.3.2")); // client authentication
        string file = Text(ConfigKeys.TlsCaCertFile), folder = Text(ConfigKeys.TlsCaCertDir);
        if (file.Length > 0) policy.CustomTrustStore.ImportFromPemFile(file);
        if (folder.Length > 0)
        {
            foreach (string one in Directory.EnumerateFiles(folder).Where(static f => Path.GetExtension(f) is ".pem" or ".crt" or ".cer"))
            {
                policy.CustomTrustStore.ImportFromPemFile(one);
            }
        }

        return policy.CustomTrustStore.Count > 0 ? policy
            : throw new ArgumentException("tls-auth-clients asks for certificates, so tls-ca-cert-file or tls-ca-cert-dir has to say whose count");
    }

    private static SslProtocols ReadProtocols(string text)
    {
        if (text.Length == 0) return SslProtocols.Tls12 | SslProtocols.Tls13;
        SslProtocols protocols = SslProtocols.None;
        foreach (string word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            protocols |= word.ToUpperInvariant() switch
            {
                "TLSV1.2" => SslProtocols.Tls12,
                "TLSV1.3" => SslProtocols.Tls13,
                _ => throw new ArgumentException($"tls-protocols knows TLSv1.2 and TLSv1.3, not {word}"),
            };
        }

        return protocols;
    }

    /// <summary>What the files look like from outside: whether they have to be read again.</summary>
    private string Stamp()
    {
        ConfigKey<string>[] keys = [ConfigKeys.TlsCertFile, ConfigKeys.TlsKeyFile, ConfigKeys.TlsCaCertFile];
        return string.Join('|', keys.Select(key => Text(key) is { Length: > 0 } path ? $"{File.GetLastWriteTimeUtc(path).Ticks}" : ""));
    }

    private string Text(ConfigKey<string> key) => ConfigText.ToText(_settings.Get(key));
}
